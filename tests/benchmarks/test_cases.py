"""What is asked and how an answer is judged, without a server."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from benchmarks.cases import json_is, missing, mlp_answer, mlp_body, mlp_vector, small
from benchmarks.large import UPLOAD_BYTES, every, groups, upload
from benchmarks.models import perceptron


def test_every_case_has_a_name_of_its_own_and_a_yardstick_in_its_group() -> None:
    names = [case.name for case in every()]
    assert len(names) == len(set(names))
    for group in groups():
        inside = {case.name for case in group.cases}
        assert {case.beside for case in group.cases} <= inside


def test_an_answer_is_right_by_its_value_not_by_its_text() -> None:
    right = json_is({"y": 2})
    assert right(b'{ "y": 2 }')
    assert not right(b'{"y": 3}')
    assert not right(b"not JSON")


def test_the_perceptron_answers_ten_numbers_and_no_others() -> None:
    assert json.loads(mlp_body())["x"] == mlp_vector()
    right = perceptron.expected(np.asarray(mlp_vector(), np.float32)).tolist()
    assert mlp_answer(right)
    assert not mlp_answer([right[0] + 0.1, *right[1:]])
    assert not mlp_answer(right[:9])
    assert not mlp_answer(None)


def test_an_upload_holds_the_file_whose_hash_is_right() -> None:
    [yardstick, parts, served] = upload(1000).cases
    assert yardstick.body == parts.body == served.body
    content = served.body.split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]
    assert len(content) == 1000
    digest = hashlib.sha256(content).hexdigest()
    assert served.right(json.dumps({"sha256": digest}).encode())
    assert not served.right(json.dumps({"sha256": digest[::-1]}).encode())
    assert UPLOAD_BYTES == 8 * 1024**2


def test_what_a_case_needs_and_is_not_installed_is_told() -> None:
    [adder] = [case for case in small().cases if case.name == "adder"]
    assert missing(adder) == []
