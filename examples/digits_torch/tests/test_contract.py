"""What modelserve asks of every model holds for this one, behind a real server."""

from __future__ import annotations

from typing import Any, ClassVar

from modelserve_digits_torch.training import held_out_squares

from modelserve.testing import ContractCheck

DIGIT = held_out_squares()[0][0].tolist()


class TestContract(ContractCheck):
    """What holds for every model holds for this one."""

    model = "digits-torch"
    good_calls: ClassVar[list[dict[str, Any]]] = [
        {"square": DIGIT},
        {"square": DIGIT, "top_k": 10},
        {"square": DIGIT, "accept": "application/x-npy"},
    ]
