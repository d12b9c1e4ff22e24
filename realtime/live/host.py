"""What the actors of one hub have in common."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .services import Services


class Host(msgspec.Struct, frozen=True):
    """What the hub gives to each of its actors. The callbacks are called on the loop."""

    services: Services
    grace_s: float
    abandon_s: float
    on_ended: Callable[[str], None]
    on_idle: Callable[[str], None]
    on_presence: Callable[[str, int], None]
