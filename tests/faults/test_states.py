"""Whatever happens to a service in whatever order, no job is lost, none ends twice, nothing is left behind. Row R05.

What can happen, and what must hold, is in states.py. ``pytest -rP`` shows what the long walks have done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from modelserve.access.client import Role
from tests.faults.states import States

WALKS = 30
STEPS = 40


def test_a_service_through_all_that_can_happen_to_it_once(packages: dict[str, Path], tmp_path: Path) -> None:
    """R05: one short walk; the long ones take each step in any order."""
    walk = States(packages, tmp_path, Counter())
    steps: list[Callable[[], None]] = [
        walk.start,
        lambda: walk.train(0, "heed"),
        lambda: walk.predict(0),
        lambda: walk.add_a_client(Role.DEPLOYER),
        lambda: walk.predict_meanwhile(1, 0.5),
        lambda: walk.kill_a_worker(0),
        walk.collect,
        lambda: walk.predict_in_background(1, 0.0),
        lambda: walk.train(1, "children"),
        lambda: walk.look_at_a_job(0, 1),
        lambda: walk.kill_the_server("add"),
        lambda: walk.predict_in_vain(2),
        lambda: walk.revoke_a_client(0),
        lambda: walk.cancel(0),
    ]
    try:
        for step in steps:
            step()
            walk.no_job_is_lost_and_none_ends_twice()
            walk.answers_add_up()
            walk.a_revoked_token_stays_refused()
    finally:
        walk.teardown()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_service_through_all_that_can_happen_to_it_in_any_order(packages: dict[str, Path], tmp_path: Path) -> None:
    """R05: no job that a client was told of is lost, each ends once, nothing is left behind, and answers add up."""
    done: Counter[str] = Counter()
    long = settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to make a failure smaller takes hours with real servers; what it prints says enough
        suppress_health_check=list(HealthCheck),
    )
    try:
        # It takes what makes a machine as well, as its documentation says, but not its types.
        run_state_machine_as_test(cast(Any, lambda: States(packages, tmp_path, done)), settings=long)
    finally:
        print("\n".join(f"{what}: {count}" for what, count in sorted(done.items())))  # noqa: T201
