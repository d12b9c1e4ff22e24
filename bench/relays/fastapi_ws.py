"""The other usual Python relay: a FastAPI WebSocket, the typed OpenAI stream, a frame a token.

It stores nothing, numbers nothing and resumes nothing.
"""

import os

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from openai import AsyncOpenAI

app = FastAPI()
openai = AsyncOpenAI()


@app.websocket("/ws")
async def relay(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            asked = await websocket.receive_json()
            stream = await openai.chat.completions.create(
                model="bench", messages=[{"role": "user", "content": asked["text"]}], stream=True
            )
            async for chunk in stream:
                if chunk.choices and (delta := chunk.choices[0].delta.content):
                    await websocket.send_json({"event": "token", "delta": delta})
            await websocket.send_json({"event": "done"})
    except WebSocketDisconnect:
        pass


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False
    )
