"""A client of one session at a time: `SessionClient`. docs/python-client.md shows how to use it."""

from .errors import CommandError, CommandRefused, NotSent, ServerUnreachable
from .message import CallAt, Message, MessageAt, Stretch
from .reply import Reply
from .session import SessionClient
from .state import Exchange, SessionState
from .tools import ClientTool

__all__ = [
    "CallAt",
    "ClientTool",
    "CommandError",
    "CommandRefused",
    "Exchange",
    "Message",
    "MessageAt",
    "NotSent",
    "Reply",
    "ServerUnreachable",
    "SessionClient",
    "SessionState",
    "Stretch",
]
