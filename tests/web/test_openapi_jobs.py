"""The routes of jobs in both published documents, on hand-made models, and against a server that has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator, validate

from modelserve.messages import Description, FileRule
from modelserve.web.openapi import build_openapi
from modelserve.web.swagger import build_swagger
from tests.running import Running, running
from tests.web.descriptions import argument, everything, plain, vision
from tests.web.v2.asking import MODEL, TRAIN, ended, post, train

BOTH = ("predict", "train")


def training() -> Description:
    """A model that predicts and trains, with a file."""
    binary = {"type": "string", "format": "binary"}
    arguments = [
        argument("epochs", {"type": "integer", "minimum": 1}, required=True, description="How long."),
        argument("data", binary, location="form", file=FileRule(media_types=["text/csv"]), description="What."),
        argument("seed", {"type": "integer"}, location="query"),
    ]
    return msgspec.structs.replace(vision(), implements=["predict", "train"], train=arguments)


def models() -> dict[str, Description]:
    return {**everything(), "both": training()}


def kept(served: Mapping[str, Description]) -> dict[str, frozenset[str]]:
    return {name: frozenset(BOTH) & set(model.implements) for name, model in served.items()}


def build(served: Mapping[str, Description], jobs: Mapping[str, frozenset[str]] | None = None) -> dict[str, Any]:
    """Return the document as a client has it, checked."""
    jobs = kept(served) if jobs is None else jobs
    built = build_openapi(served, title="Test", version="1.0", base_path="", jobs=jobs, calls_back=True)
    document: dict[str, Any] = orjson.loads(orjson.dumps(built))
    validate(document, cls=OpenAPIV31SpecValidator)
    return document


def operations(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return path and method of every operation, by its id."""
    return {
        operation["operationId"]: (path, method)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_both_documents_of_all_models_are_valid_and_tell_of_the_same() -> None:
    served = models()
    new = build(served)
    old = build_swagger(served, title="Test", version="1.0", base_path="", jobs=kept(served))
    validate(orjson.loads(orjson.dumps(old)), cls=OpenAPIV2SpecValidator)
    assert operations(new) == operations(old)
    assert all(re.fullmatch("[A-Za-z0-9_]+", each) for each in operations(new))


def test_every_job_has_its_routes() -> None:
    found = operations(build({"both": training()}))
    for operation in BOTH:
        base = f"/v2/models/both/{operation}/"
        assert found[f"{operation}_both"] == (base, "post")
        assert found[f"list_{operation}_both"] == (base, "get")
        assert found[f"get_{operation}_both"] == (base + "{uuid}", "get")
        assert found[f"cancel_{operation}_both"] == (base + "{uuid}", "delete")
        for more in ("log", "events", "metrics", "artifacts", "result"):
            assert found[f"{more}_{operation}_both"] == (f"{base}{{uuid}}/{more}", "get")
        assert found[f"artifact_{operation}_both"] == (base + "{uuid}/artifacts/{path}", "get")


def test_only_what_is_kept_is_told_of() -> None:
    document = build({"both": training(), "plain": plain()}, {"both": frozenset(["predict"])})
    paths = document["paths"]
    assert not [path for path in paths if "train" in path or path.startswith("/v2/models/plain/predict/{")]
    assert "202" in paths["/v2/models/both/predict/"]["post"]["responses"]
    assert "202" not in paths["/v2/models/plain/predict/"]["post"]["responses"]
    without = build({"both": training()}, {})
    assert "Job" not in without["components"]["schemas"]
    assert "jobs" not in str(without["tags"])


def test_a_training_takes_its_arguments_as_predict_does() -> None:
    post = build({"both": training()})["paths"]["/v2/models/both/train/"]["post"]
    content = post["requestBody"]["content"]
    assert list(content) == ["multipart/form-data", "application/json"]
    assert content["application/json"]["schema"]["properties"]["epochs"]["description"] == "How long."
    assert content["multipart/form-data"]["encoding"] == {"data": {"contentType": "text/csv"}}
    names = [(parameter["name"], parameter["in"]) for parameter in post["parameters"]]
    assert names == [
        ("seed", "query"),
        ("X-Timeout-S", "header"),
        ("Idempotency-Key", "header"),
        ("callback_url", "query"),
    ]


def test_a_form_of_deepaas_has_the_models_arguments_and_no_others() -> None:
    document = build_swagger({"both": training()}, title="T", version="1", base_path="", jobs=kept(models()))
    for operation in BOTH:
        post = document["paths"][f"/v2/models/both/{operation}/"]["post"]
        assert post["parameters"] == [each.parameter for each in getattr(training(), operation)]


def test_what_is_posted_at_the_end_is_the_job() -> None:
    post = build({"both": training()})["paths"]["/v2/models/both/train/"]["post"]
    told = post["callbacks"]["jobEnded"]["{$request.query.callback_url}"]["post"]
    assert told["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Job"}
    signed = ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert [header["name"] for header in told["parameters"] if header["required"]] == signed


def test_the_result_of_a_background_prediction_is_what_predict_answers() -> None:
    paths = build({"both": training()})["paths"]
    answer = paths["/v2/models/both/predict/"]["post"]["responses"]["200"]
    assert paths["/v2/models/both/predict/{uuid}/result"]["get"]["responses"]["200"] == answer


@pytest.mark.parametrize("name", ["Job", "JobPoint", "Artifact"])
def test_the_examples_fit_their_schemas(name: str) -> None:
    document = build({"both": training()})
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    OAS31Validator(schema).validate(document["components"]["schemas"][name]["example"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([MODEL], folder=tmp_path_factory.mktemp("published")) as server:
        yield server


def test_what_a_server_answers_fits_what_it_publishes(server: Running) -> None:
    document = server.get("/openapi.json").json()
    validate(document, cls=OpenAPIV31SpecValidator)

    def check(name: str, value: Any) -> None:
        OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]}).validate(value)

    path = train(server, {"epochs": 2, "mode": "files"})
    check("Job", ended(server, path))
    check("Jobs", server.get(TRAIN).json())
    check("JobMetrics", server.get(f"{path}/metrics").json())
    check("Artifacts", server.get(f"{path}/artifacts").json())
    accepted = post(server, "/v2/models/apprentice/predict/", {"x": 1}, Prefer="respond-async").json()
    check("Job", ended(server, f"/v2/models/apprentice/predict/{accepted['uuid']}"))


def test_every_path_that_is_published_is_there(server: Running, tmp_path: Path) -> None:
    document = server.get("/openapi.json").json()
    uuid = train(server, {"epochs": 0, "mode": "files"}).removeprefix(TRAIN)
    ended(server, TRAIN + uuid)
    for path, item in document["paths"].items():
        if "/train/" in path and "get" in item:
            reply = server.get(path.replace("{uuid}", uuid).replace("{path}", "weights.bin"))
            assert reply.status == 200, path


def test_where_no_host_may_be_called_back_nothing_is_said_of_it() -> None:
    document = build_openapi({"both": training()}, title="T", version="1", base_path="", jobs=kept(models()))
    assert "callback" not in str(document)


def test_each_status_that_a_route_answers_with_is_published(server: Running) -> None:
    """Both documents name what is really sent, a key that came with another request before among it."""
    path = train(server, {"epochs": 0})
    ended(server, path)
    one, key = f"{TRAIN}{{uuid}}", {"Idempotency-Key": "statuses"}
    first = post(server, TRAIN, {"epochs": 0}, **key)
    assert first.status == 200
    ended(server, TRAIN + first.json()["uuid"])
    gone = f"{TRAIN}{'0' * 32}"
    asked = [
        ("post", TRAIN, 409, post(server, TRAIN, {"epochs": 1}, **key)),
        ("post", TRAIN, 422, post(server, TRAIN, {"epochs": "x"})),
        ("post", TRAIN, 400, post(server, TRAIN, b"{")),
        ("post", TRAIN, 413, post(server, TRAIN, b" " * (65 * 1024 * 1024))),
        ("post", TRAIN, 415, server.request("POST", TRAIN, b"x", {"Content-Type": "text/plain"})),
        ("get", TRAIN, 400, server.get(f"{TRAIN}?limit=0")),
        ("get", one, 404, server.get(gone)),
        ("delete", one, 409, server.request("DELETE", path)),
        ("delete", one, 404, server.request("DELETE", gone)),
        ("get", f"{one}/artifacts", 400, server.get(f"{path}/artifacts?limit=0")),
        ("get", f"{one}/artifacts", 404, server.get(f"{gone}/artifacts")),
        ("get", f"{one}/artifacts/{{path}}", 404, server.get(f"{path}/artifacts/none")),
        ("get", f"{one}/log", 400, server.get(f"{path}/log?tail=x")),
        ("get", f"{one}/events", 404, server.get(f"{gone}/events")),
        ("get", f"{one}/metrics", 404, server.get(f"{gone}/metrics")),
        ("get", f"{one}/result", 404, server.get(f"{gone}/result")),
    ]
    documents = [server.get("/openapi.json").json(), server.get("/swagger.json").json()]
    for method, template, expected, reply in asked:
        assert reply.status == expected, (method, template, reply.body)
        for document in documents:
            responses = document["paths"][template][method]["responses"]
            assert str(expected) in responses, (method, template, expected)
