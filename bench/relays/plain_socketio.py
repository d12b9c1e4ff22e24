"""The usual Python relay: python-socketio on aiohttp, the typed OpenAI stream, an emit a token.

It stores nothing, numbers nothing and resumes nothing.
"""

import asyncio
import os

import socketio
import uvloop
from aiohttp import web
from openai import AsyncOpenAI

sio = socketio.AsyncServer(async_mode="aiohttp")
running: set[asyncio.Task] = set()


async def answer(sid: str, text: str, openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": text}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and (delta := chunk.choices[0].delta.content):
            await sio.emit("token", {"delta": delta}, to=sid)
    await sio.emit("done", {}, to=sid)


def create_app() -> web.Application:
    openai = AsyncOpenAI()

    @sio.event
    async def send(sid: str, data: dict) -> dict:
        task = asyncio.create_task(answer(sid, data["text"], openai))
        running.add(task)
        task.add_done_callback(running.discard)
        return {"ok": True}

    app = web.Application()
    sio.attach(app)
    return app


if __name__ == "__main__":
    web.run_app(
        create_app(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        loop=uvloop.new_event_loop(),
    )
