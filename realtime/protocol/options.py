"""What a session may ask for of its answers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Options(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """How a session is to be answered; what is left out is as the server's settings say."""

    model: str | None = None
    instructions: Annotated[str, msgspec.Meta(max_length=16_000)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] | None = None
    reasoning_effort: Effort | None = None
