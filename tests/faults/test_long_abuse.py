"""Long runs of what a server is to refuse, by ``tox -e soak`` only: it does not grow. Rows R02 and R03 of the faults.

Each prints what it has measured; ``pytest -rP`` shows it.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.conftest import Serve
from tests.faults.growth import Growth, assert_as_before, settled
from tests.faults.raw import read_all
from tests.running import Running, eventually, multipart
from tests.web.guarded import Guarded, basic, bearer, guarded

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]

CLIENTS = 8
REQUESTS = 100_000

# So many come before the first measurement: they fill each table that is bounded, such as that of failed logins.
WARM_UP = 20_000

# A connection takes so many requests, so that connections come and go too.
OF_A_CONNECTION = 500

UPLOADS = 10_000
WARM_UPLOADS = 2_000
SIZE = 100_000
ABORTED_OF = 10

JSON = {"Content-Type": "application/json"}

# Method, path, headers and body of a request with this number.
Request = tuple[str, str, Mapping[str, str], bytes | None]
Make = Callable[[int], Request]


def send(server: Running, make: Make, numbers: range) -> Counter[int]:
    """Send the requests of these numbers over one connection; return how often each status came."""
    seen: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        for number in numbers:
            method, path, headers, body = make(number)
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            response.read()
            seen[response.status] += 1
    return seen


def load(server: Running, make: Make, first: int, count: int) -> Counter[int]:
    shares = [range(start, start + OF_A_CONNECTION) for start in range(first, first + count, OF_A_CONNECTION)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(lambda share: send(server, make, share), shares), Counter())


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Yield a server with clients."""
    with guarded(tmp_path_factory.mktemp("refused")) as there:
        yield there


def unknown_path(token: str) -> Make:
    """Return what makes requests for paths that are not there, of all sorts, no two of them the same."""
    forms = ("/nothing/{}", "/v2/models/{}/", "/v2/models/mine/predict/{}", "/assets/{}.js", "/{}?x={}", "/v2/{}/x/{}")
    methods = itertools.cycle(("GET", "POST", "DELETE", "PUT"))
    headers = bearer(token) | JSON

    def make(number: int) -> Request:
        return next(methods), forms[number % len(forms)].format(f"p{number}", number), headers, b"{}"

    return make


def bad_token(token: str) -> Make:
    """Return what makes requests with tokens that are not valid, no two of them the same, of names as many."""

    def make(number: int) -> Request:
        forms = (bearer(f"{token[:-8]}{number:08}"), bearer(f"ms_{number}"), basic(f"name-{number}", token))
        return "GET", "/v2/models/", forms[number % len(forms)], None

    return make


def bad_body(token: str) -> Make:
    """Return what makes requests whose bodies are refused, no two of them the same."""
    headers = bearer(token) | JSON

    def make(number: int) -> Request:
        bodies = (
            f'{{"x": "{number}',
            f'{{"field-{number}": 1}}',
            f'{{"x": "no {number}"}}',
            f'{{"x": 1, "x": {number}}}',
        )
        body = bodies[number % len(bodies)].encode()
        return "POST", "/v2/models/mine/predict/", headers, body

    return make


CASES = {
    "paths": (unknown_path, {404, 405}),
    "tokens": (bad_token, {401, 429}),
    "bodies": (bad_body, {400, 422}),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_hundred_thousand_requests_that_are_refused_leave_the_server_as_it_was(there: Guarded, kind: str) -> None:
    """R02: what is in them is kept nowhere."""
    sort, statuses = CASES[kind]
    make, known = sort(there.tokens["alice"]), there.headers("root")
    load(there.server, make, 0, WARM_UP)
    before, since = settled(lambda: Growth.of(there.server, **known)), time.monotonic()
    seen = load(there.server, make, WARM_UP, REQUESTS)
    lasted = time.monotonic() - since
    after = assert_as_before(before, lambda: Growth.of(there.server, **known))
    print(f"{REQUESTS} {kind} in {lasted:.0f} s, {dict(seen)}: {before} became {after}")  # noqa: T201
    assert seen.total() == REQUESTS
    assert set(seen) <= statuses


def upload(server: Running, number: int) -> int:
    """Send a file and return the answer's status; every tenth is given up half-way, and 0 returned."""
    body, kind = multipart({"mode": "file"}, {"file": (f"{number}.bin", b"%08d" % number * (SIZE // 8), "image/png")})
    head = (
        f"POST /v2/models/chaos/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        if number % ABORTED_OF == 0:
            client.sendall(body[: number % len(body)])
            return 0
        client.sendall(body)
        answer = read_all(client)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]["size"] == SIZE
    return int(answer.split()[1])


def uploads(server: Running, first: int, count: int) -> Counter[int]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(lambda number: upload(server, number), range(first, first + count)))


def test_ten_thousand_uploads_of_which_a_tenth_is_given_up_leave_no_file(serve: Serve) -> None:
    """R03."""
    server = serve("chaos", "--workers", "2")
    empty = Growth.of(server).files
    uploads(server, 0, WARM_UPLOADS)
    assert_no_file(server, empty)
    before, since = settled(lambda: Growth.of(server)), time.monotonic()
    seen = uploads(server, WARM_UPLOADS, UPLOADS)
    lasted = time.monotonic() - since
    after = assert_as_before(before, lambda: Growth.of(server))
    print(f"{UPLOADS} uploads in {lasted:.0f} s, {dict(seen)}: {before} became {after}")  # noqa: T201
    assert_no_file(server, empty)
    assert seen == {200: UPLOADS - UPLOADS // ABORTED_OF, 0: UPLOADS // ABORTED_OF}


def assert_no_file(server: Running, empty: frozenset[Path]) -> None:
    eventually(lambda: not server.uploads())
    assert Growth.of(server).files == empty
