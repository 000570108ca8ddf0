"""What modelserve asks of every model holds for this one, behind a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelserve.testing import ContractCheck

SAMPLES = Path(__file__).parent.parent / "samples"


class TestContract(ContractCheck):
    """What holds for every model holds for this one."""

    model = "digits"
    good_calls: ClassVar[list[dict[str, Any]]] = [
        {"image": SAMPLES / "0.png"},
        {"image": SAMPLES / "chalk.jpg", "top_k": 10},
        {"image": SAMPLES / "9.png", "accept": "image/png"},
    ]
