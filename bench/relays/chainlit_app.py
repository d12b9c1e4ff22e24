"""A Chainlit application, as its documentation writes one: the typed OpenAI stream, its own UI."""

import chainlit as cl
from openai import AsyncOpenAI

openai = AsyncOpenAI()


@cl.on_message
async def on_message(message: cl.Message) -> None:
    answer = cl.Message(content="")
    stream = await openai.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": message.content}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and (delta := chunk.choices[0].delta.content):
            await answer.stream_token(delta)
    await answer.update()
