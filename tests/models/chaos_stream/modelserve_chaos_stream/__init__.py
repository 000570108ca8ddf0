"""The streaming model that misbehaves on demand: ``predict`` is a generator.

Its arguments are those of modelserve_chaos_kit.items.Order. The side log has ``predict`` when the generator begins,
``item`` before each item, and ``closed`` when it ends, however it ends: ``how`` is "end", "closed" or the error's name,
``sent`` how many items it gave. ``CHAOS_SCHEMA`` set to 1 declares a schema that items of the kind ``dict`` fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from modelserve_chaos_kit.faults import commit
from modelserve_chaos_kit.items import Order
from modelserve_chaos_kit.order_fields import order_fields, order_schema
from modelserve_chaos_kit.side_log import note

__all__ = ["ChaosStream"]


class ChaosStream:
    """Gives items one by one."""

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": "chaos-stream", "name": "Chaos in streams", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Say in the side log that it ran, and fail as ``CHAOS_WARM`` says."""
        note("warm")
        commit("CHAOS_WARM")

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        return order_fields()

    @property
    def schema(self) -> dict[str, Any] | None:
        """What an item is, where ``CHAOS_SCHEMA`` asks for it."""
        return order_schema()

    def predict(self, **arguments: Any) -> Iterator[Any]:
        """Yield what was ordered, and say in the side log how it ended."""
        order, sent, how = Order(**arguments), 0, "end"
        note("predict", text=order.text)
        try:
            for number in range(order.items):
                time.sleep(order.delay_s)
                note("item", text=order.text, number=number)
                yield order.item(number)
                sent += 1
        except BaseException as error:
            how = "closed" if isinstance(error, GeneratorExit) else type(error).__name__
            if order.deaf:
                yield {"number": -1, "text": "deaf"}
            raise
        finally:
            time.sleep(order.close_s)
            note("closed", text=order.text, how=how, sent=sent)
