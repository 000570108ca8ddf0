"""Marshmallow's fields for lists, which stop at what is wrong instead of telling of each of 100,000 wrong items.

    items --[a thousand at a time]--> items loaded, or a ValidationError after the first thousand with a wrong one

Each item costs marshmallow 5 to 20 us to refuse, so that one body of wrong items could hold a worker for seconds (and
held it for longer before marshmallow's fix of CVE-2025-68480). What is right is loaded as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import marshmallow.fields
import webargs.fields
from marshmallow import ValidationError

__all__ = ["DelimitedList", "List", "Nested"]

SLICE_ITEMS = 1000
"""Items that are checked together; 1,000 wrong ones take 5 to 20 ms (timeit, CPython 3.11, marshmallow 4.4)."""


class List(marshmallow.fields.List):  # type: ignore[type-arg]  # generic in 4 only
    """Marshmallow's ``List``; after the first thousand items with a wrong one it checks no further."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        load = super()._deserialize
        return _in_slices(value, lambda items: load(items, attr, data, **kwargs))


class DelimitedList(webargs.fields.DelimitedList, List):
    """webargs' ``DelimitedList``, which stops as :class:`List` does."""


class Nested(webargs.fields.Nested):
    """webargs' ``Nested``; with ``many`` it stops as :class:`List` does, unless a hook of its schema sees all items."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any) -> Any:
        load = super()._deserialize
        if not (self.many or self.schema.many) or _sees_all_items(self.schema):
            return load(value, attr, data, partial, **kwargs)
        return _in_slices(value, lambda items: load(items, attr, data, partial, **kwargs))


def _in_slices(value: Any, load: Callable[[Any], Any]) -> Any:
    if not isinstance(value, list) or len(value) <= SLICE_ITEMS:
        return load(value)
    loaded: list[Any] = []
    for start in range(0, len(value), SLICE_ITEMS):
        try:
            loaded += load(value[start : start + SLICE_ITEMS])
        except ValidationError as error:
            raise _stopped(error, start, len(value)) from error
    return loaded


def _stopped(error: ValidationError, start: int, count: int) -> ValidationError:
    """Return a slice's error with the places of its items in the whole list."""
    found = error.normalized_messages()  # type: ignore[no-untyped-call]
    messages = {start + place if isinstance(place, int) else place: inner for place, inner in found.items()}
    if start + SLICE_ITEMS < count:
        messages["_schema"] = [*messages.get("_schema", ()), "Further items were not checked."]
    return ValidationError(messages)


def _sees_all_items(schema: marshmallow.Schema) -> bool:
    # Hooks with pass_many (pass_collection in marshmallow 4); there is no public way to ask.
    return any(whole for hooks in schema._hooks.values() for _, whole, _ in hooks)
