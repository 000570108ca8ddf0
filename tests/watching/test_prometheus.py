"""A real Prometheus reads a loaded server: every query of the dashboard and every alert says something.

What Debian's package prometheus has is used: prometheus itself and promtool.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.running import Running, eventually, running
from tests.watching.load import REPOSITORY, Prometheus, loaded, watching

DEPLOY = REPOSITORY / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/modelserve.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

MODEL = Path(__file__).with_name("counting.py")
ARGUMENTS = [str(MODEL), "--workers", "2", "--cache-size", "10", "--max-queue", "3", "--restart-budget", "1000"]

# Only a machine with a GPU has these; that they are told is tested where GPUs are.
NEEDS_GPU = "modelserve_gpu_"

# A comparison with a number, which an alert ends with.
THRESHOLD = re.compile(r"\s*(==|>|<)\s*[\d.]+$")


class Watched(NamedTuple):
    server: Running
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server under load, and a Prometheus that watches it."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        running(ARGUMENTS, folder=folder) as server,
        loaded(server),
        watching(server, folder) as prometheus,
    ):
        yield Watched(server, prometheus)


def chosen(expression: str) -> str:
    """Return a query of the dashboard as Grafana sends it where everything is chosen."""
    return expression.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$deployment", ".*")


def test_every_query_of_the_dashboard_gives_data(watched: Watched) -> None:
    missing = [(title, chosen(query)) for title, query in QUERIES if NEEDS_GPU not in query]
    assert len(missing) > 20

    def all_give() -> bool:
        missing[:] = [(title, query) for title, query in missing if not watched.prometheus.query(query)]
        return not missing

    try:
        eventually(all_give, within_s=45)
    except AssertionError:
        pytest.fail(f"no data: {missing}")


def test_every_alert_is_evaluated_and_its_value_is_there(watched: Watched) -> None:
    rules = eventually(lambda: _evaluated(watched.prometheus), within_s=30)
    assert {rule["health"] for rule in rules} == {"ok"}
    for rule in rules:
        value, count = THRESHOLD.subn("", rule["query"])
        assert count == 1, f"{rule['name']} ends with no threshold: {rule['query']}"
        if NEEDS_GPU not in value:
            eventually(lambda value=value: watched.prometheus.query(value), within_s=45)  # type: ignore[misc]


def _evaluated(prometheus: Prometheus) -> list[dict[str, Any]]:
    rules = prometheus.rules()
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []


def test_alerts_of_what_goes_on_are_pending_and_no_others(watched: Watched) -> None:
    """The load fails, runs out of time and is turned away; the server is there and its workers are warm."""
    pending = {"ModelserveFailing", "ModelserveTurnsAway", "ModelserveTimeouts"}

    def active() -> set[str]:
        return {rule["name"] for rule in watched.prometheus.rules() if rule["state"] != "inactive"}

    eventually(lambda: active() >= pending, within_s=30)
    assert not active() & {"ModelserveDown", "ModelserveLogLost"}


def test_the_dashboard_asks_by_the_chosen_deployment_and_source() -> None:
    for title, query in QUERIES:
        assert 'deployment=~"$deployment"' in query or NEEDS_GPU in query, title
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} >= {"datasource", "deployment"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_promtool_finds_nothing_wrong_with_names_rules_and_configuration(watched: Watched) -> None:
    metrics = watched.server.get("/metrics").body
    own = b"\n".join(line for line in metrics.splitlines() if b"modelserve_" in line) + b"\n"
    _check("metrics", text=own)
    _check("rules", str(DEPLOY / "prometheus/modelserve.rules.yml"))
    _check("config", str(DEPLOY / "prometheus/prometheus.yml"))


def _check(*what: str, text: bytes = b"") -> None:
    done = subprocess.run(["promtool", "check", *what], input=text, capture_output=True)
    assert (done.returncode, done.stderr if what == ("metrics",) else b"") == (0, b""), done.stdout + done.stderr


def test_the_dashboard_and_the_alerts_use_only_metrics_that_there_are(watched: Watched) -> None:
    rules = (DEPLOY / "prometheus/modelserve.rules.yml").read_text()
    asked = {
        name for query in [rules, *(query for _, query in QUERIES)] for name in re.findall(r"modelserve_\w+", query)
    }

    def missing() -> set[str]:
        text = watched.server.get("/metrics").body.decode()
        there = set(re.findall(r"^(modelserve_\w+)", text, re.M))
        return {name for name in asked - there if not name.startswith(NEEDS_GPU)}

    # Some tell of workers alone, of which there may be none for the moment in which one is replaced.
    eventually(lambda: missing() <= {"modelserve_rules"})
