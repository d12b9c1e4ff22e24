"""Objects by their path: `module`, or `module:object`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable

from ..package import hint
from .extension import BadExtension, Extension
from .hooks import Extensions


def named(path: str) -> object:
    """The module or the object of this path. Raises `BadExtension`."""
    module_name, colon, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        why = f"{type(error).__name__}: {error}{hint(error)}"
        raise BadExtension(f"cannot be imported: {why}") from error
    if not colon:
        return module
    if not hasattr(module, name):
        raise BadExtension(f"cannot be used: {module_name} has no {name}")
    found: object = getattr(module, name)
    return found


def load(paths: Iterable[str], given: Iterable[object] = ()) -> Extensions:
    """The extensions of these paths, and these objects; of a class one is made. Raises
    `BadExtension`, with the whole sentence."""
    found: dict[str, Extension] = {}
    parts: list[tuple[str, str, object]] = [(path, path, None) for path in paths]
    parts += [(_name_of(item), "", item) for item in given]
    for name, path, item in parts:
        try:
            made = named(path) if path else item
            if inspect.isclass(made):
                made = _instance(made)
            if name in found:
                raise BadExtension("is there twice")
            found[name] = Extension(name, made)
        except BadExtension as error:
            raise BadExtension(f"EXTENSIONS: {name} {error}") from error.__cause__
    return Extensions(list(found.values()))


def _instance(kind: type) -> object:
    try:
        return kind()
    except Exception as error:
        raise BadExtension(f"cannot be made: {type(error).__name__}: {error}") from error


def _name_of(item: object) -> str:
    """What an object is called, in every process alike."""
    if inspect.ismodule(item):
        return item.__name__
    kind = item if inspect.isclass(item) else type(item)
    return f"{kind.__module__}:{kind.__qualname__}"
