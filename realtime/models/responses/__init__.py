"""The Responses API: the request we send and the stream we get. No I/O.

Nothing is stored with the provider (`store: false`) unless its answers are to outlive our
connection: the session's log is the only memory, and each request brings its whole context.
"""

from .request import body
from .stream import ResponsesDecoder

__all__ = ["ResponsesDecoder", "body"]
