"""The streaming model that misbehaves on demand: ``predict`` is a generator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from modelserve_chaos_kit.items import Order
from modelserve_chaos_kit.order_model import OrderModel
from modelserve_chaos_kit.side_log import note

__all__ = ["ChaosStream"]


class ChaosStream(OrderModel):
    """Gives items one by one."""

    id = "chaos-stream"

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
