"""Models that count and describe themselves, and tell of trainings, as no model does: nobody else notices. X7."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.told import status
from tests.running import Running, eventually, running

GOOD = """
from prometheus_client import Counter

SEEN = Counter("seen", "Calls.")

def get_metadata():
    return {"name": "good", "description": "Counts."}

def predict():
    SEEN.inc()
    return 1
"""

COUNTS = """
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

CALLED = []

def metric(**changed):
    found = GaugeMetricFamily("bad", "Bad.", value=1)
    for name, value in changed.items():
        setattr(found, name, value)
    return found

class Evil:
    number = 0

    def collect(self):
        if not CALLED:
            return
        self.number += 1
        yield metric(name="a b")
        yield metric(name="surrogate_\\ud800")
        yield metric(type="evil")
        yield metric(type=7)
        yield metric(documentation=7)
        yield metric(documentation="\\ud800\\n# TYPE evil evil\\n" * 1000)
        yield metric(samples=[found._replace(value="text") for found in metric().samples])
        yield metric(samples=[found._replace(value=10**400) for found in metric().samples])
        yield metric(samples=[found._replace(labels={"a b": "c"}) for found in metric().samples])
        yield metric(samples=[found._replace(name="seen_total") for found in metric().samples])
        yield metric(name=f"empty_{self.number}", samples=[])
        yield GaugeMetricFamily("seen", "Not mine.", value=7)
        yield GaugeMetricFamily("seen_total", "Not mine.", value=7)
        yield CounterMetricFamily("modelserve_requests", "Not mine.", value=float("nan"))
        huge = GaugeMetricFamily("huge", "Huge.", labels=["of"])
        for number in range(100_000):
            huge.add_metric([str(number)], number)
        yield huge
        yield GaugeMetricFamily("fine", "Fine.", value=float("inf"))

REGISTRY.register(Evil())

def get_metadata():
    return {"name": "counts", "description": "Counts what nobody counts."}

def predict():
    CALLED.append(True)
    return 1
"""


DESCRIBES = """
import msgspec
from modelserve.messages import Description, Metadata, Ready
from modelserve.runtime import worker

def send(outlet, message, before=worker.Outlet.send):
    if isinstance(message, Ready):
        message = Ready(msgspec.structs.replace(message.description, components=COMPONENTS))
    before(outlet, message)

worker.Outlet.send = send

def get_metadata():
    return {"name": "describes", "description": "Describes itself as no model does."}

def predict():
    return 1
"""

SCHEMAS = {
    "is_bytes": 'COMPONENTS = {"a": b"x"}',
    "ref": 'COMPONENTS = {"a": {"$ref": []}}',
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("words")
    models = {"good": GOOD, "counts": COUNTS, **{name: DESCRIBES + more for name, more in SCHEMAS.items()}}
    for name, code in models.items():
        (folder / f"{name}.py").write_text(code)
    with running([str(folder / f"{name}.py") for name in models], folder=folder) as server:
        eventually(lambda: server.predict("good", {}).status == 200, within_s=40)
        yield server


def page(server: Running) -> dict[str, dict[str, float]]:
    """Return the metrics by their names and the deployments that they are of."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(server.get("/metrics").body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels.get("deployment", "")] = sample.value
    return found


def test_metrics_that_no_model_has_leave_the_page_and_all_others_as_they_are(server: Running) -> None:
    """X7: invalid names, types, labels and numbers, names of others, and ever more families."""
    eventually(lambda: page(server).get("seen_total") == {"good": 1}, within_s=20)
    eventually(lambda: server.predict("counts", {}).status == 200, within_s=40)
    eventually(lambda: page(server)["modelserve_model_series_dropped"].get("counts", 0) > 99_000, within_s=20)
    told = page(server)
    assert told["seen_total"] == {"good": 1}
    assert not {name for name in told if "empty" in name or "surrogate" in name or name == "seen"}
    assert server.log.count("the model's own metric ") == 1


def test_a_model_that_describes_itself_as_none_does_costs_no_other_its_documents(server: Running) -> None:
    """X7: what is no JSON is a failed start; what makes no document is left out of it."""
    eventually(lambda: status(server, "is_bytes")["status"] == "failed", within_s=40)
    assert "described its model with what is no JSON" in server.log
    eventually(lambda: server.predict("ref", {}).status == 200, within_s=40)
    for path in ("/openapi.json", "/swagger.json"):
        reply = server.get(path)
        assert reply.status == 200
        assert "/v2/models/good/predict/" in reply.json()["paths"]
    assert "/v2/models/ref/predict/" not in server.get("/openapi.json").json()["paths"]
    assert "the model's description cannot be written out" in server.log
    for path in ("/v2/models/", "/api", "/readyz"):
        assert server.get(path).status in (200, 503)
    assert server.get("/v2/models/").status == 200
