# The page's modules, which come from npm.
FROM node:22-slim AS page
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:3.13-slim AS packages
WORKDIR /app
COPY requirements.txt constraints.txt ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.13-slim
WORKDIR /app
RUN useradd --system --uid 10001 realtime && install -d -o realtime /data
COPY --from=packages /venv /venv
COPY --from=page /app/node_modules node_modules
COPY realtime realtime
COPY client client
COPY schema.sql ./
RUN python -m compileall -q realtime
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000 DATABASE_PATH=/data/realtime.db
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=20s --timeout=5s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
CMD ["python", "-m", "realtime"]
