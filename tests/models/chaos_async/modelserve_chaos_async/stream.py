"""The streaming model of chaos_stream as an asynchronous generator; arguments and side log are the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from modelserve_chaos_kit.items import Order
from modelserve_chaos_kit.order_model import OrderModel
from modelserve_chaos_kit.side_log import note

__all__ = ["ChaosAsyncStream"]


class ChaosAsyncStream(OrderModel):
    """Gives items one by one, several streams at the same time."""

    id = "chaos-async-stream"

    async def predict(self, **arguments: Any) -> AsyncIterator[Any]:
        """Yield what was ordered, and say in the side log how it ended."""
        order, sent, how = Order(**arguments), 0, "end"
        note("predict", text=order.text)
        try:
            for number in range(order.items):
                await asyncio.sleep(order.delay_s)
                note("item", text=order.text, number=number)
                yield order.item(number)
                sent += 1
        except BaseException as error:
            how = "closed" if isinstance(error, GeneratorExit) else type(error).__name__
            if order.deaf:
                yield {"number": -1, "text": "deaf"}
            raise
        finally:
            await asyncio.sleep(order.close_s)
            note("closed", text=order.text, how=how, sent=sent)
