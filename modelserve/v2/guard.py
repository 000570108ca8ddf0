"""What a model raised, as the failure of a call; remembers whether it was an error after which none can be answered."""

from __future__ import annotations

from modelserve.gpu_errors import is_sticky
from modelserve.messages import Answer
from modelserve.v2.failures import failure_of

__all__ = ["Guard"]


class Guard:
    """Stands at the border to one model.

    Attributes:
        is_broken: Whether the model raised an error after which its GPU answers every call of this process with one.
    """

    def __init__(self) -> None:
        self.is_broken = False

    def failed(self, call_id: int, error: BaseException) -> Answer:
        """Return the failure of a call."""
        self.look_at(error)
        return Answer(call_id, failure=failure_of(error))

    def look_at(self, error: BaseException) -> None:
        """Remember the error if it breaks the process."""
        try:
            self.is_broken = self.is_broken or is_sticky(error)
        except BaseException:  # the error's class is the model's: looking at it may raise anything
            return
