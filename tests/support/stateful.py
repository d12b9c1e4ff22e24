"""A module of tools for the server under test, which it loads by TOOLS=tests.support.stateful.

Whatever that server stores has a provider state, where its kind can have one.
"""

from __future__ import annotations

from realtime.log.log import Log
from realtime.tools import tool
from tests.support.states import filling

Log.append = filling()  # type: ignore[method-assign]


@tool
def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"
