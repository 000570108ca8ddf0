"""Who a request is from, by its Authorization header."""

from __future__ import annotations

import ast
import base64
import dataclasses
import inspect
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from modelserve.access import roll as roll_module
from modelserve.access import token
from modelserve.access.client import ANYBODY, Client, Right, Role, is_client_name
from modelserve.access.roll import KNOWN_HEADERS, Entry, Roll, Snapshot
from modelserve.errors import TooManyRequests, Unauthorized
from tests.running import eventually

HERE = "10.0.0.1"
FOREVER = float("inf")


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def entry(made: token.Token, name: str = "alice", expires_s: float = FOREVER) -> Entry:
    return Entry(made.digest, Client(name, Role.CLIENT, frozenset(), made.id), expires_s)


def roll_of(*entries: Entry) -> Roll:
    roll = Roll()
    roll.replace(Snapshot(1, {entry.client.token_id: entry for entry in entries}, has_clients=True))
    return roll


@pytest.fixture
def made() -> token.Token:
    return token.make()


@pytest.fixture
def roll(made: token.Token) -> Roll:
    return roll_of(entry(made))


def refused(roll: Roll, header: str | None, address: str = HERE) -> None:
    with pytest.raises(Unauthorized):
        roll.find(header, address)


def test_without_clients_everybody_is_anybody() -> None:
    roll = Roll()
    assert roll.is_empty
    assert roll.find(None, HERE) is roll.find("Bearer x", HERE) is ANYBODY
    assert ANYBODY.may(Right.ADMIN, "any")


def test_a_client_is_found_by_bearer_and_by_basic(roll: Roll, made: token.Token) -> None:
    for header in (f"Bearer {made.text}", f"bearer  {made.text}", basic("alice", made.text)) * 2:
        client = roll.find(header, HERE)
        assert (client.name, client.role, client.token_id) == ("alice", Role.CLIENT, made.id)


def test_a_name_that_is_not_the_tokens_is_refused(roll: Roll, made: token.Token) -> None:
    for name in ("bob", "", "Alice", "é", "alice "):
        refused(roll, basic(name, made.text))


MALFORMED = [
    "",
    "Basic",
    "Basic !!!",
    "Basic " + base64.b64encode(b"alice").decode(),
    "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
    "Basic " + base64.b64encode(b"alice:").decode(),
    "Bearer",
    "Bearer ",
    "Bearer é",
    "Bearer \udce9\udcff",
    "Bearer " + "x" * 8192,
    "Digest username=alice",
    "ms_0123456789",
    "\x00",
]


@pytest.mark.parametrize("header", [None, *MALFORMED])
def test_a_malformed_header_is_unauthorized_and_nothing_else(roll: Roll, header: str | None) -> None:
    """K02, K03."""
    refused(roll, header)


def test_a_right_secret_under_another_id_is_refused(roll: Roll, made: token.Token) -> None:
    other = token.make()
    refused(roll_of(entry(made), entry(other, "bob")), f"Bearer {other.text.replace(other.id, made.id)}")


def test_an_expired_token_is_refused_from_that_moment_on(made: token.Token) -> None:
    """K06."""
    roll = roll_of(entry(made, expires_s=time.monotonic() + 0.05))
    client = roll.find(f"Bearer {made.text}", HERE)
    assert roll.is_valid(client)
    eventually(lambda: not roll.is_valid(client))
    refused(roll, f"Bearer {made.text}")


def test_a_revoked_token_is_refused_though_it_was_known_before(roll: Roll, made: token.Token) -> None:
    """K06."""
    client = roll.find(f"Bearer {made.text}", HERE)
    roll.replace(Snapshot(2, {}, has_clients=True))
    refused(roll, f"Bearer {made.text}")
    assert not roll.is_valid(client)


def test_anybody_is_valid_until_there_are_clients(roll: Roll) -> None:
    """K06."""
    assert Roll().is_valid(ANYBODY)
    assert not roll.is_valid(ANYBODY)


def test_clients_whose_tokens_are_all_revoked_leave_the_server_closed() -> None:
    roll = Roll()
    roll.replace(Snapshot(2, {}, has_clients=True))
    assert not roll.is_empty
    refused(roll, None)


def test_after_ten_failures_even_the_right_token_is_refused_from_there_and_taken_from_elsewhere(
    roll: Roll, made: token.Token
) -> None:
    """K05."""
    for _ in range(10):
        refused(roll, basic("alice", "wrong"))
    with pytest.raises(TooManyRequests) as caught:
        roll.find(basic("alice", made.text), HERE)
    assert 0 < caught.value.retry_after_s <= 6.0
    assert roll.find(basic("alice", made.text), "10.0.0.2").name == "alice"


def test_who_shares_an_address_with_who_fails_is_not_refused(made: token.Token) -> None:
    """K05."""
    other = token.make()
    roll = roll_of(entry(made), entry(other, "bob"))
    for _ in range(10):
        refused(roll, basic("alice", "wrong"))
    assert roll.find(basic("bob", other.text), HERE).name == "bob"
    assert roll.find(f"Bearer {other.text}", HERE).name == "bob"
    with pytest.raises(TooManyRequests):
        roll.find("Bearer nonsense", HERE)


def test_a_request_without_a_token_is_no_failed_login(roll: Roll) -> None:
    for _ in range(30):
        refused(roll, None)


def test_what_is_known_of_right_headers_is_bounded(roll: Roll, made: token.Token) -> None:
    for number in range(3 * KNOWN_HEADERS):
        roll.find(f"Bearer{' ' * (number + 1)}{made.text}", HERE)
    assert len(roll._known) <= KNOWN_HEADERS


def test_secrets_are_compared_in_constant_time_only() -> None:
    """K04: no ``==`` near a digest, and both comparisons are made before either is looked at."""
    source = ast.parse(inspect.getsource(roll_module))
    (compare,) = (node for node in ast.walk(source) if getattr(node, "name", "") == "_compare")
    compared = [ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.Compare)]
    assert not [text for text in compared if "digest" in text or ("name" in text and "None" not in text)]
    assert sum(isinstance(node, ast.Return) for node in ast.walk(compare)) == 1
    assert (
        sum("compare_digest" in ast.unparse(node.func) for node in ast.walk(compare) if isinstance(node, ast.Call)) == 2
    )


def times(rounds: int, *looks: Callable[[], None]) -> list[list[float]]:
    """Measure each in turn, so that what disturbs one disturbs the others."""
    found: list[list[float]] = [[] for _ in looks]
    for _ in range(rounds):
        for times, look in zip(found, looks, strict=True):
            begin = time.perf_counter_ns()
            look()
            times.append(time.perf_counter_ns() - begin)
    return found


def test_an_unknown_token_takes_as_long_as_a_wrong_one(made: token.Token) -> None:
    """K04: 2,000 samples of each; by medians, which a busy machine does not move."""
    right, wrong, unknown = made, token.make(), token.make()
    # The checksum fits, as that of whoever tries does.
    roll = roll_of(Entry(right.digest, Client("alice", Role.CLIENT, frozenset(), wrong.id), FOREVER))

    def look(header: str) -> Callable[[], None]:
        def try_it() -> None:
            try:
                roll.find(header, HERE)
            except (Unauthorized, TooManyRequests):
                return
            raise AssertionError(header)

        return try_it

    one, two = times(2000, look(f"Bearer {wrong.text}"), look(f"Bearer {unknown.text}"))
    spread = statistics.median(abs(value - statistics.median(one)) for value in one)
    assert abs(statistics.median(one) - statistics.median(two)) < 3 * 1.4826 * max(spread, 100)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.CLIENT, {Right.NONE, Right.CALL}),
        (Role.DEPLOYER, {Right.NONE, Right.CALL, Right.TRAIN}),
        (Role.ADMIN, set(Right)),
    ],
)
def test_a_role_gives_its_rights_and_those_below(role: Role, allowed: set[Right]) -> None:
    """K11."""
    client = Client("c", role)
    assert {right for right in Right if client.may(right)} == allowed
    assert {right for right in Right if client.may(right, "digits")} == allowed


def test_a_client_of_some_deployments_has_no_rights_at_others() -> None:
    """K11."""
    client = Client("c", Role.ADMIN, frozenset({"digits"}))
    assert client.may(Right.ADMIN, "digits")
    assert not client.may(Right.NONE, "other")
    assert client.may(Right.CALL)
    assert not client.may(Right.TRAIN)


@pytest.mark.parametrize("name", ["alice", "a.b-c_d@example.org", "0", "x" * 64])
def test_a_name_that_fits(name: str) -> None:
    assert is_client_name(name)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "é", "-a", "x" * 65, "a\n", "a\r\nX-Evil: 1"])
def test_a_name_that_does_not_fit(name: str) -> None:
    assert not is_client_name(name)


def test_a_header_is_known_once_it_was_right_and_while_nobody_has_failed(made: token.Token) -> None:
    roll, header = roll_of(entry(made, expires_s=time.monotonic() + 0.3)), f"Bearer {made.text}"
    assert roll.known(header) is None
    found = roll.find(header, HERE)
    assert roll.known(header) is found
    eventually(lambda: roll.known(header) is None)
    roll = roll_of(entry(made))
    roll.find(header, HERE)
    refused(roll, "Bearer wrong")
    assert roll.known(header) is None, "who has failed is looked for"
    assert roll.find(header, HERE).name == "alice"


def test_a_right_token_that_was_known_before_is_refused_too_after_ten_failures_for_its_name_from_there(
    roll: Roll, made: token.Token
) -> None:
    """K05: what is remembered of its header is no way around."""
    header = basic("alice", made.text)
    assert roll.find(header, HERE).name == "alice"
    assert roll.known(header) is not None
    for _ in range(10):
        refused(roll, basic("alice", "wrong"))
    assert roll.known(header) is None, "it has to be asked for with its address"
    with pytest.raises(TooManyRequests):
        roll.find(header, HERE)
    assert roll.find(header, "10.0.0.2").name == "alice"


@pytest.mark.parametrize(
    "changed",
    [{"role": Role.ADMIN}, {"deployments": frozenset({"one"})}, {"name": "bob"}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_goes_on_for_long_ends_once_its_token_stands_for_another_client(
    roll: Roll, made: token.Token, changed: dict[str, Any]
) -> None:
    """K06: the token is the same, and valid."""
    client = roll.find(f"Bearer {made.text}", HERE)
    assert roll.is_valid(client)
    other = dataclasses.replace(entry(made), client=dataclasses.replace(client, **changed))
    roll.replace(Snapshot(2, {made.id: other}, has_clients=True))
    assert not roll.is_valid(client)
    assert roll.is_valid(roll.find(f"Bearer {made.text}", HERE))
