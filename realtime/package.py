"""What this package is called, and where the files that come with it are.

In a checkout it is `realtime`, and the page, its modules and `schema.sql` lie beside it. The
wheel installs the same code as `realtime_sessions`, with those files inside: in site-packages
the name `realtime` belongs to the Supabase client.
"""

from __future__ import annotations

from pathlib import Path

VERSION = "0.1.0"
NAME = __name__.partition(".")[0]
NAMES = ("realtime", "realtime_sessions")
_FOLDER = Path(__file__).parent
_INSTALLED = (_FOLDER / "schema.sql").is_file()
ROOT = _FOLDER if _INSTALLED else _FOLDER.parent
PAGE = ROOT / ("page" if _INSTALLED else "client")


def hint(error: Exception) -> str:
    """What to add to an import error of a user's module that calls this package by its other
    name; nothing otherwise."""
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    if missing in NAMES and missing != NAME:
        return f"; this package is called {NAME} here, not {missing}"
    return ""
