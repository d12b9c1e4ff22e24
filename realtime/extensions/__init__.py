"""What an operator's own code adds to the server: docs/extend.md shows each method.

    EXTENSIONS=my_app.chat            # a module, or module:object; several by comma

Every method is optional, and a coroutine function or a plain one, which runs in a thread:

    lifespan(app)                            an async context manager around the server's life
    instructions(user, session)              text that is added to the system prompt of a run
    limits(user)                             `Limits` in place of the settings
    before_message(message, user, session)   another text, or `MessageRefused`
    on_event(event, session)                 everything that happened, but the tokens

`user` is a `User`, `session` a `SessionRow`, an event its payload from `protocol`.
"""

from ..core.plan import Limits
from ..core.rows import SessionRow
from ..core.user import User
from .extension import BadExtension, Extension
from .follower import Follower, Pauses
from .hooks import Extensions
from .loading import load, named
from .message import MessageRefused, NewMessage
from .webhook import NotDelivered, Webhook

__all__ = [
    "BadExtension",
    "Extension",
    "Extensions",
    "Follower",
    "Limits",
    "MessageRefused",
    "NewMessage",
    "NotDelivered",
    "Pauses",
    "SessionRow",
    "User",
    "Webhook",
    "load",
    "named",
]
