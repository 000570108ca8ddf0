"""Traces: what a real OTLP receiver gets of a server and its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from modelserve.tracing import Tracing
from tests.collector import Collector, Received, collector
from tests.running import Running, eventually, running

MODEL = """
import logging
from opentelemetry import trace
from modelserve.v2 import current_call, fields, progress

class Single:
    def get_predict_args(self):
        return {"x": fields.Int(load_default=0)}
    def predict(self, x):
        if x < 0:
            raise ValueError("negative")
        with trace.get_tracer("model").start_as_current_span("inner"):
            pass
        span = trace.get_current_span().get_span_context()
        return {"span": f"{span.span_id:016x}", "traceparent": current_call().traceparent}
    def get_train_args(self):
        return {}
    def train(self):
        return 1

class Batched(Single):
    def predict_batch(self, calls):
        return [call["x"] for call in calls]

class Asynchronous(Single):
    async def predict(self, x):
        return Single.predict(self, x)
"""

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Traced(NamedTuple):
    server: Running
    collector: Collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Yield a server with three kinds of models, and where its spans go."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "traced_models.py").write_text(MODEL)
    tables = [f'[deployments.{name.lower()}]\nmodel = "traced_models:{name}"\n' for name in NAMES]
    (folder / "modelserve.toml").write_text("".join(["trust_traceparent = true\n", *tables]))
    with collector() as found, running([], folder=folder, visible=[folder], env=found.variables) as server:
        yield Traced(server, found)


NAMES = ("Single", "Batched", "Asynchronous")


def _one(traced: Traced, name: str, trace: str) -> Received:
    eventually(lambda: traced.collector.named(name, trace), within_s=20)
    (span,) = traced.collector.named(name, trace)
    return span


@pytest.mark.parametrize("name", [name.lower() for name in NAMES])
def test_a_request_is_one_trace_across_both_processes(traced: Traced, name: str) -> None:
    trace = os.urandom(16).hex()
    parent = f"00-{trace}-b7ad6b7169203331-01"
    reply = traced.server.predict(name, {"x": 1}, traceparent=parent, **{"X-Request-ID": "traced-1"})
    assert reply.status == 200, reply.body
    request = _one(traced, f"POST /v2/models/{name}/predict/", trace)
    queue, predict = _one(traced, "queue", trace), _one(traced, "predict", trace)
    assert request.parent == "b7ad6b7169203331"
    assert queue.parent == predict.parent == request.id
    assert request.start_ns <= queue.start_ns <= queue.end_ns <= predict.end_ns
    assert predict.end_ns <= request.end_ns
    assert request.process["service.name"] == predict.process["service.name"] == "modelserve"
    assert predict.process["service.instance.id"] == f"{name}-0"
    assert (request.fields["modelserve.request_id"], request.fields["modelserve.deployment"]) == ("traced-1", name)
    assert (request.fields["http.response.status_code"], request.is_error) == (200, False)
    if name != "batched":
        assert reply.json()["predictions"]["span"] == predict.id
        assert _one(traced, "inner", trace).parent == predict.id, "spans that the model makes are below it"
        assert request.id in reply.json()["predictions"]["traceparent"]


def test_a_request_without_a_trace_begins_one_and_a_failure_is_told(traced: Traced) -> None:
    assert traced.server.predict("single", {"x": -1}, **{"X-Request-ID": "fails"}).status == 500
    by_id = lambda: [s for s in traced.collector.spans if s.fields.get("modelserve.request_id") == "fails"]  # noqa: E731
    (request,) = eventually(by_id, within_s=20)
    assert (request.parent, request.is_error, request.fields["http.response.status_code"]) == ("", True, 500)
    assert _one(traced, "predict", request.trace).is_error
    assert b"negative" not in repr(traced.collector.spans).encode(), "no text of an exception leaves the machine"


def test_a_training_is_part_of_the_trace_in_which_it_was_asked_for(traced: Traced) -> None:
    headers = {"traceparent": PARENT, "Content-Type": "application/json"}
    reply = traced.server.request("POST", "/v2/models/single/train/", b"{}", headers)
    assert reply.status == 200, reply.body
    job = _one(traced, "job train", TRACE)
    train = _one(traced, "train", TRACE)
    request = _one(traced, "POST /v2/models/{name}/train/", TRACE)
    assert (job.parent, train.parent) == (request.id, job.id)
    assert (job.fields["modelserve.job"], job.fields["modelserve.status"]) == (reply.json()["uuid"], "done")


def test_requests_of_machines_are_no_traces(traced: Traced) -> None:
    for path in ("/healthz", "/readyz/", "/metrics"):
        assert traced.server.get(path).status == 200
    assert traced.server.get("/v2/models/", traceparent=f"00-{'ab' * 16}-b7ad6b7169203331-01").status == 200
    _one(traced, "GET /v2/models/", "ab" * 16)
    assert not [span for span in traced.collector.spans if "healthz" in span.name or "metrics" in span.name]


def test_a_trace_that_a_client_names_is_not_joined_by_default(tmp_path: Path) -> None:
    """Y19."""
    (tmp_path / "one.py").write_text("def predict():\n    return 1\n")
    with collector() as found, running(["one.py"], folder=tmp_path, env=found.variables) as server:
        assert server.predict("one", {}, traceparent=PARENT, **{"X-Request-ID": "stranger"}).status == 200
        by_id = lambda: [s for s in found.spans if s.fields.get("modelserve.request_id") == "stranger"]  # noqa: E731
        (request,) = eventually(by_id, within_s=20)
        eventually(lambda: found.named("predict", request.trace), within_s=20)
    assert request.parent == ""
    assert TRACE not in {span.trace for span in found.spans}


@pytest.mark.parametrize(("sampler", "flag"), [("ALWAYS_OFF", "00"), ("ALWAYS_ON", "01")])
@pytest.mark.parametrize("asked", ["00", "01"])
def test_what_a_client_says_of_sampling_does_not_count(sampler: str, flag: str, asked: str) -> None:
    """Y19: even where its trace is joined."""
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    own = Tracing(sdk.TracerProvider(sampler=sampling.ParentBased(getattr(sampling, sampler)), shutdown_on_exit=False))
    parent = own.sampled_here("GET /", f"00-{TRACE}-b7ad6b7169203331-{asked}")
    assert parent == f"00-{TRACE}-b7ad6b7169203331-{flag}"
    assert own.traceparent(own.begin("GET /", parent, {})).startswith(f"00-{TRACE}-")
    assert own.traceparent(own.begin("GET /", parent, {})).endswith(f"-{flag}")
    assert [own.sampled_here("GET /", wrong) for wrong in ("", "00", "00-1-01")] == ["", "", ""]


LOADED = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry')])"


@pytest.mark.parametrize("module", ["modelserve", "modelserve.server", "modelserve.runtime.worker"])
def test_the_library_is_not_loaded_where_nobody_asks_for_traces(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {module}; {LOADED}"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_exporter_that_is_not_there_is_told_and_costs_only_the_traces(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def predict():\n    return 1\n")
    with running(["one.py"], folder=tmp_path, env={"OTEL_TRACES_EXPORTER": "nosuch"}) as server:
        assert server.predict("one", {}).status == 200
        assert "no traces, since the exporter 'nosuch' of OpenTelemetry is not installed" in server.log
