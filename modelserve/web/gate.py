"""What a request is refused for before anybody asks who makes it: a host that this is not, a page of another site.

    a version of HTTP that is not spoken here -> BadRequest 400
    Host unknown -> WrongHost 421      a state-changing request of a foreign page -> Forbidden 403
    pre-flight of an allowed origin -> 204

The first keeps a name that an attacker points at this machine (DNS rebinding) from making its pages ours; the second a
page anywhere from using a browser that can reach this server. What is no browser sends neither Origin nor
Sec-Fetch-Site. All of it stands in front of every request, so a host that was found good once is only looked up.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion11, hdrs, web
from multidict import istr

from modelserve.errors import BadRequest, Forbidden, WrongHost
from modelserve.settings import Settings
from modelserve.web.http_version import require_version
from modelserve.web.proxies import Proxies

__all__ = ["Gate", "Rules", "allow_origins", "make_gate"]

Gate = Callable[[web.Request], None]

SEC_FETCH_SITE = istr("Sec-Fetch-Site")

# Methods that change nothing: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

# Forms of good hosts (letter case, ports) that are kept as such; a client can make up more.
KNOWN = 256

# In seconds: how long a browser need not ask again.
PREFLIGHT_S = 600

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is let in.

    ``hosts`` are names, with a port or without; None for any. ``origins`` are those whose pages may call.
    """

    hosts: frozenset[str] | None = None
    origins: frozenset[str] = frozenset()
    proxies: Proxies = dataclasses.field(default_factory=Proxies)

    @classmethod
    def of(cls, settings: Settings, *, is_local: bool) -> Rules:
        """Return the rules of a server, which is local where only its own machine can reach it."""
        hosts = set(filter(None, settings.allowed_hosts.split(",")))
        origins = frozenset(filter(None, settings.cors_origins.split(",")))
        proxies = Proxies(filter(None, settings.trusted_proxies.split(",")))
        checks_hosts = bool(hosts) or is_local
        own = {"localhost", settings.host.lower()}
        return cls(frozenset(hosts | own) if checks_hosts else None, origins, proxies)


def make_gate(rules: Rules, known: set[str] | None = None) -> Gate:
    """Return a function that lets a request in, or raises.

    Args:
        rules: What is let in.
        known: Where the hosts that were found good are noted, ``KNOWN`` of them at most.

    It raises BadRequest, Forbidden or WrongHost, and HTTPNoContent for a pre-flight that is answered.
    """
    known = None if rules.hosts is None else set() if known is None else known
    proxies = rules.proxies

    def gate(request: web.Request) -> None:
        if request.version != HttpVersion11:
            require_version(request)
        headers, method = request.headers, request.method
        host = proxies.host(request) if proxies else headers.get(hdrs.HOST)
        if host is None or (known is not None and host not in known):
            _check_host(rules, request, host)
            if known is not None and host is not None and len(known) < KNOWN:
                known.add(host)
        if hdrs.ORIGIN in headers or SEC_FETCH_SITE in headers:
            if method not in SAFE:
                _check_site(rules, request, host)
            elif method == "OPTIONS":
                _answer_preflight(rules, request)

    return gate


def allow_origins(rules: Rules) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]] | None:
    """Return what tells browsers that the pages of some origins may read an answer; None where there are none."""
    if not rules.origins:
        return None

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.add(hdrs.VARY, "Origin")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in rules.origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "*"

    return allow


def _check_host(rules: Rules, request: web.Request, host: str | None) -> None:
    if host is None:
        if request.version >= HttpVersion11:
            raise BadRequest("The request names no host.")
        return
    if rules.hosts is None or _is_own(request, host):
        return
    found = _HOST.fullmatch(host)
    if found is not None:
        name = found["name"].strip("[]").rstrip(".").lower()
        if {name, f"[{name}]", f"{name}:{found['port']}"} & rules.hosts or _is_loopback(name):
            return
    raise WrongHost("This server does not answer to this host name; its operator can add the name to allowed_hosts.")


def _is_own(request: web.Request, host: str) -> bool:
    """Tell whether a host is the address that the connection came in at, which no other site can have as its name."""
    found = _HOST.fullmatch(host)
    own = request.get_extra_info("sockname")
    return bool(found and isinstance(own, tuple) and found["name"].strip("[]").lower() == own[0].partition("%")[0])


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_site(rules: Rules, request: web.Request, host: str | None) -> None:
    """Refuse a page of another site, as Go does: https://pkg.go.dev/net/http#CrossOriginProtection."""
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get(SEC_FETCH_SITE)
    if origin in rules.origins or site in ("same-origin", "none"):
        return
    if site is None and origin is not None and host is not None and _authority(origin) == _authority(f"//{host}"):
        return
    raise Forbidden("A page of another site may not do this; its origin can be added to cors_origins.")


def _authority(origin: str) -> str:
    """Return what is behind the slashes, without a port that is the usual one."""
    return re.sub(":(80|443)$", "", origin.partition("//")[2].lower())


def _answer_preflight(rules: Rules, request: web.Request) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    if origin in rules.origins and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        raise web.HTTPNoContent(
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, DELETE",
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "*, Authorization",
                hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_S),
            }
        )
