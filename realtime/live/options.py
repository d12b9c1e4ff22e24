"""What a session may ask for of its model."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ..protocol import Options, ProtocolError, Regenerate


def check_options(options: Options, models: Collection[str], names: Collection[str]) -> None:
    """Whether a session may ask for this. `models`: those that it can choose from; `names`:
    the other options that it may set. Raises `bad_request`."""
    if options.model is not None and options.model not in models:
        raise ProtocolError("bad_request", f"unknown model; available: {', '.join(models)}")
    for name in set(options.__struct_fields__) - {"model", *names}:
        if getattr(options, name) is not None:
            raise ProtocolError("bad_request", f"sessions may not set {name}; see SESSION_OPTIONS")


def merged(settings: Options, own: Options) -> Options:
    """A session's options, and beneath them the server's."""
    given = {
        name: value for name in own.__struct_fields__ if (value := getattr(own, name)) is not None
    }
    return msgspec.structs.replace(settings, **given)


def one_more(command: Regenerate) -> Options | None:
    """What one answer is asked for with."""
    if command.model is None:
        return command.options
    return msgspec.structs.replace(command.options or Options(), model=command.model)
