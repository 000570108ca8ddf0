"""What bandit finds in the package: nothing but what is listed here, with the reason why it is no fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

# Asserts state what we can prove; programs are started without a shell, from what the operator has installed; dill is
# loaded in two places, which tests/test_skeleton.py counts.
SKIPPED = "B101,B403,B404,B603"

FALSE_ALARMS = {
    ("B107", "access/clients.py"): "an empty text for no token",
    ("B106", "certificate.py"): "an empty text, so that a key with a password is refused and nobody asked for it",
    ("B105", "settings/sources.py"): "the name of a variable",
    ("B105", "web/access_text.py"): "a sentence about tokens",
    ("B301", "loading.py"): "what the same user handed to serve()",
    ("B311", "runtime/rotation.py"): "after how many calls a worker is replaced is no secret",
    ("B311", "web/deliveries.py"): "when a callback is tried again is no secret",
    ("B311", "web/failures.py"): "how long a client may wait is no secret",
}


def test_bandit_finds_nothing() -> None:
    """K14, M10."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", "modelserve", "--skip", SKIPPED, "-f", "json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["errors"] == []
    found = {
        (
            result["test_id"],
            result["filename"].removeprefix("modelserve/"),
        ): f"{result['line_number']}: {result['code']}"
        for result in told["results"]
    }
    assert {place: line for place, line in found.items() if place not in FALSE_ALARMS} == {}
