"""Values against a JSON Schema that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import referencing

from .checkable import Json

MAX_STEPS = 20_000
"""Keywords that are applied to one value: a small schema that refers to itself can ask for any
number of them."""
MAX_PROBLEMS = 5

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class TooMuch(Exception):
    """The check takes too long."""


class Schema:
    """A schema that is `checkable`. What it refers to is never fetched."""

    def __init__(self, schema: Json, *, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps
        self._steps = 0
        known = jsonschema.Draft202012Validator
        counting = jsonschema.validators.extend(
            known, {name: self._counted(check) for name, check in known.VALIDATORS.items()}
        )
        self._validator = counting(schema, registry=referencing.Registry())

    def _counted(self, check: Keyword) -> Keyword:
        def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._steps += 1
            if self._steps > self._max_steps:
                raise TooMuch
            yield from check(validator, value, instance, schema) or ()

        return counted

    def problems(self, value: Any, whole: str = "arguments") -> list[str]:
        """What is wrong with a value, each with its place in the `whole`; the first few. Raises
        `TooMuch`, and whatever a schema that cannot be used makes of it."""
        self._steps = 0
        found = []
        for error in self._validator.iter_errors(value):
            place = ".".join(map(str, error.absolute_path)) or whole
            found.append(f"{place}: {error.message[:300]}")
            if len(found) == MAX_PROBLEMS:
                break
        return found
