"""The small interface: what implements it, and what of it crosses to another process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from modelserve.messages import Failed
from modelserve.runtime.boot import Boot
from modelserve.runtime.interface import Backend, Replica, StartFailed
from modelserve.runtime.process import LocalBackend, LocalReplica
from tests.runtime.fakes import FakeReplica
from tests.runtime.workers import spec


def promised(interface: type) -> set[str]:
    """Return the public names that an interface promises, and what makes it a context."""
    return {name for name in vars(interface) if not name.startswith("_") or name in ("__aenter__", "__aexit__")}


@pytest.mark.parametrize(
    ("interface", "implementation"), [(Replica, LocalReplica), (Replica, FakeReplica), (Backend, LocalBackend)]
)
def test_an_implementation_keeps_every_promise(interface: type, implementation: type) -> None:
    made = FakeReplica() if implementation is FakeReplica else implementation
    assert promised(interface)
    assert {name for name in promised(interface) if not hasattr(made, name)} == set()


def test_the_types_of_the_implementations_fit(tmp_path: Path) -> None:
    """The two assignments are what is tested, by the type checker."""
    backend: Backend = LocalBackend(str(tmp_path))
    replica: Replica = backend.replica(spec())
    assert (replica.name, replica.pid, replica.begun) == ("chaos-0", 0, 0)


def test_a_failed_start_reads_as_its_message_and_keeps_the_rest() -> None:
    failed = Failed("warm", "RuntimeError: no weights", "Traceback...")
    error = StartFailed(failed)
    assert str(error) == "RuntimeError: no weights"
    assert error.failed is failed


def test_what_a_worker_is_started_with_crosses_to_another_process_as_it_is() -> None:
    boot = Boot(spec(), "/scratch")
    assert pickle.loads(pickle.dumps(boot)) == boot
