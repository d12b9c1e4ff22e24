"""What the hub gives to each of its actors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..core.rows import SessionRow
from ..core.user import User
from ..protocol import Options, Present
from .services import Services


class Host(msgspec.Struct, frozen=True):
    """The callbacks are called on the loop."""

    services: Services
    grace_s: float
    abandon_s: float
    check_options: Callable[[Options], None]
    on_ended: Callable[[str], None]
    on_answered: Callable[[str], None]
    """A session without a title has an answer."""
    on_idle: Callable[[str], None]
    on_presence: Callable[[Present], None]
    on_devices: Callable[[str, Sequence[User]], None]
    """A session has these devices here, a user for each."""
    on_listed: Callable[[SessionRow], None]
    """The row of a session has changed, in which something was said."""
