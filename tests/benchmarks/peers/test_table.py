"""How each peer is installed, started, asked and judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cases import mlp_vector
from benchmarks.models import perceptron
from benchmarks.peers.table import MODELS, PEERS, Peer, case_of, ours

_PEERS = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
_SCRIPTS = Path(perceptron.__file__).parent.parent / "peers"


@_PEERS
def test_every_peer_has_a_script_pinned_requirements_and_a_route_for_each_model(peer: Peer) -> None:
    assert (_SCRIPTS / f"{peer.name}.py").is_file()
    assert all("==" in requirement for requirement in peer.requirements)
    assert set(peer.paths) == set(MODELS)
    for model in MODELS:
        command = case_of(peer, model, Path("/venv/bin")).command
        assert command[0].startswith("/venv/bin/")
        assert any("{port}" in part for part in command)


@_PEERS
def test_every_peer_is_sent_the_same_vector_and_held_to_the_same_answer(peer: Peer) -> None:
    case = case_of(peer, "mlp", Path("/venv/bin"))
    sent = json.loads(case.body)
    numbers = sent["inputs"][0]["data"] if peer.dialect == "inference" else sent["x"]
    assert (numbers[0] if peer.dialect == "listed" else numbers) == mlp_vector()
    right = perceptron.expected(np.asarray(mlp_vector(), np.float32)).tolist()
    answers = {"plain": {"y": right}, "listed": [right], "inference": {"outputs": [{"data": right}]}}
    assert case.right(json.dumps(answers[peer.dialect]).encode())
    assert not case.right(json.dumps({"y": right[::-1]}).encode())
    assert not case.right(b"[]")


def test_modelserve_is_asked_as_a_plain_peer_is() -> None:
    assert ours("adder").body == b'{"x": 1}'
    assert ours("adder").beside == "bare-adder"
