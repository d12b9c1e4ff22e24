"""The realtime session server for AI conversations.

In a checkout it is called `realtime`, like a distribution that the Supabase client depends on.
Both live in this one package: its modules are found behind ours on `__path__`, and
its names are looked up here when somebody asks for them. So our modules must not be
called `types`, `message`, `exceptions`, `utils`, `version`, `transformers`, `_async`
or `_sync`, and no distribution of ours may be called `realtime`. The wheel installs this
package as `realtime_sessions`, where nothing of this is needed.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "realtime":
    __path__ = pkgutil.extend_path(__path__, __name__)
_other: ModuleType | None = None


def __getattr__(name: str) -> Any:
    """A name of the other distribution. Raises AttributeError."""
    if __name__ != "realtime" or name.startswith("__"):
        raise AttributeError(name)
    return getattr(_load_other(), name)


def _load_other() -> ModuleType:
    global _other
    if _other is None:
        for folder in __path__[1:]:
            spec = importlib.util.spec_from_file_location(
                __name__, Path(folder) / "__init__.py", submodule_search_locations=[]
            )
            if spec and spec.loader:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                _other = module
                break
        else:
            raise AttributeError("the Supabase realtime client is not installed")
    return _other
