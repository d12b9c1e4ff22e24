"""Every model is held to limits on its time, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from realtime.models import Finished, ModelError, ModelEvent, Request, TextDelta
from realtime.runs.chain import Link
from realtime.runs.patience import Patience
from tests.models.asking import ask
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Serve
from tests.wire.people import Devices

NEVER = asyncio.Event
SOON, LATE = 0.05, 60.0


def said(text: str) -> Script:
    return [[TextDelta(text)], NEVER()]


async def listen(link: Link, heard: list[ModelEvent], pause_s: float = 0) -> None:
    async with aclosing(link.stream(ask())) as answer:
        async for events in answer:
            heard += events
            await asyncio.sleep(pause_s)


@pytest.mark.parametrize(
    ("script", "patience", "told"),
    [
        ([NEVER()], Patience(SOON, LATE, LATE, LATE), ""),
        (said("Once upon"), Patience(LATE, LATE, SOON, LATE), "Once upon"),
        (said("I will look."), Patience(SOON, SOON, LATE, LATE), "I will look."),
        (said("Once upon"), Patience(LATE, LATE, LATE, SOON), "Once upon"),
    ],
    ids=["first", "inside a sentence", "behind a sentence", "in all"],
)
async def test_a_wait_that_is_too_long_is_a_timeout(
    script: Script, patience: Patience, told: str
) -> None:
    model = ScriptedModel(script)
    heard: list[ModelEvent] = []
    with pytest.raises(ModelError) as caught:
        await listen(Link(model, "", patience=patience), heard)
    text = "".join(event.text for event in heard if isinstance(event, TextDelta))
    assert (caught.value.kind, text, model.closed) == ("timeout", told, 1)


async def test_signs_of_life_are_no_silence_but_end_with_the_time_for_all() -> None:
    class Working(ScriptedModel):
        signs = 0

        async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
            while True:
                await asyncio.sleep(0)
                self.signs += 1
                yield []

    model = Working(says())
    patience = Patience(first_s=LATE, think_s=LATE, stall_s=LATE, total_s=SOON)
    with pytest.raises(ModelError):
        await listen(Link(model, "", patience=patience), [])
    assert model.signs > 1


async def test_whoever_reads_slowly_is_not_the_models_silence() -> None:
    patience = Patience(first_s=LATE, think_s=SOON, stall_s=SOON, total_s=LATE)
    heard: list[ModelEvent] = []
    await listen(Link(ScriptedModel(says("a", "b")), "", patience=patience), heard, 2 * SOON)
    assert heard[-1] == Finished("stop")


async def test_what_an_application_gives_is_held_to_the_settings(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(said("Once upon")), answer_seconds=0.2)
    one = device(running.url)
    await one.connect()
    done = await one.ask("hello")
    assert (done["status"], done["text"]) == ("interrupted", "Once upon")
