"""Chat Completions: the request we send and the stream we get. No I/O.

Every compatible server speaks it, each a little differently, so the decoder asks for
as little as it can: any field may be absent or null.
"""

from .request import body
from .stream import ChatDecoder

__all__ = ["ChatDecoder", "body"]
