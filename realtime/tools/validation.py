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
MAX_NESTED = 160
"""Keywords within each other. Each takes three to six levels of the stack, and where that ends a
library in Rust panics: it writes pages to standard error and raises what is no `Exception`."""
MAX_PROBLEMS = 5

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class Uncheckable(Exception):
    """The schema cannot be held against the value; the text says why, as the end of a sentence."""


class Schema:
    """A schema that is `checkable`. What it refers to is never fetched."""

    def __init__(self, schema: Json, *, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps
        self._steps = self._nested = 0
        known = jsonschema.Draft202012Validator
        counting = jsonschema.validators.extend(
            known,
            {name: self._counted(check) for name, check in known.VALIDATORS.items()},
            type_checker=known.TYPE_CHECKER.redefine("boolean", self._is_boolean),
        )
        self._validator = counting(schema, registry=referencing.Registry())

    def _counted(self, check: Keyword) -> Keyword:
        def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._step()
            self._nested += 1
            try:
                if self._nested > MAX_NESTED:
                    raise Uncheckable("is nested too deeply to check")
                yield from check(validator, value, instance, schema) or ()
            finally:
                self._nested -= 1

        return counted

    def _is_boolean(self, _: Any, value: Any) -> bool:
        """`unevaluatedProperties` walks the schema by itself, and asks this at each step."""
        self._step()
        return isinstance(value, bool)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > self._max_steps:
            raise Uncheckable("takes too long to check")

    def problems(self, value: Any, whole: str = "arguments") -> list[str]:
        """What is wrong with a value, each with its place in the `whole`; the first few. Raises
        `Uncheckable`."""
        self._steps = self._nested = 0
        found = []
        try:
            for error in self._validator.iter_errors(value):
                place = ".".join(map(str, error.absolute_path)) or whole
                found.append(f"{place}: {error.message[:300]}")
                if len(found) == MAX_PROBLEMS:
                    break
        except (Uncheckable, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # of a schema that cannot be used, or the panic
            raise Uncheckable(f"cannot be checked: {type(error).__name__}") from error
        return found
