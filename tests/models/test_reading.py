"""When the silence of a model is a stall."""

from __future__ import annotations

import pytest

from realtime.models.reading import Received
from tests.dialects.chat_streams import delta

ENDED = (
    "Done.",
    "Let me look: ",
    "A line\n",
    'He said "yes."',
    "見ました。」",
    "„Ja.“",
    "मैं देखता हूँ। ",
    "هل تريد؟",
)
GOES_ON = (
    "I looked",
    "a word ",
    "one, ",
    "見て、",
    'He said "',
    'He said "yes"',
    "मैं देखी",
    "ดูที่",
    "كتابٌ",
)


@pytest.mark.parametrize(
    ("text", "patient"), [*((text, True) for text in ENDED), *((text, False) for text in GOES_ON)]
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "by letters"])
def test_a_call_may_follow_a_sentence_that_is_over(text: str, patient: bool, whole: bool) -> None:
    answer = Received("chat", tools=True)
    for piece in [text] if whole else text:
        answer.take(delta(content=piece))
    assert answer.thinking is patient
