"""Who may make which request. It is decided on the route that has matched, never on the text of a path.

    request -> its route -> Need -> the client of its token -> request[CLIENT], or 401, 403, 404, 429

A route for which nothing is said needs an administrator. Where there are no clients, nothing here is asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator

from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import SystemRoute

from modelserve.access.client import Client, Right, Role
from modelserve.access.roll import MISSING, Roll
from modelserve.errors import Forbidden, NotFound, Unauthorized
from modelserve.web.proxies import client_address
from modelserve.web.requests import CLIENT, client_of

__all__ = ["NOBODY", "Guard", "Need", "whose"]

# Who comes without a token, where that is allowed. It may call what is public, and keeps no jobs.
NOBODY = Client("", Role.CLIENT, frozenset({""}))


@dataclasses.dataclass(frozen=True)
class Need:
    """What a route needs of who calls.

    ``deployment`` is the one that it is for; with ``is_named``, the path's ``{name}`` says which. With ``is_whole`` it
    concerns all of them, and is not for a client of some. With ``is_public`` it is open to all where the deployment is.
    """

    right: Right
    deployment: str = ""
    is_named: bool = False
    is_whole: bool = False
    is_public: bool = False


# A path that there is not, or not by this method: any client may know that.
_NOTHING = Need(Right.CALL)

_UNSAID = Need(Right.ADMIN, is_whole=True)


class Guard:
    """Keeps the routes of one application.

    Args:
        roll: Whom the server knows.
        public: The deployments that need no token.
    """

    def __init__(self, roll: Roll, public: Collection[str] = ()) -> None:
        self.roll = roll
        self.public = frozenset(public)
        self._needs: dict[web.AbstractRoute, Need] = {}

    def add(self, app: web.Application, need: Need, routes: Iterable[web.RouteDef]) -> None:
        """Add routes to an application, with what they need."""
        for route in app.add_routes(routes):
            for each in _with_head(route):
                self._needs[each] = need

    def need(self, route: web.AbstractRoute) -> Need:
        """Return what a route needs."""
        found = self._needs.get(route)
        if found is not None:
            return found
        return _NOTHING if isinstance(route, SystemRoute) else _UNSAID

    def admit(self, request: web.Request) -> None:
        """Find out who makes a request, and refuse what it may not.

        Raises:
            Forbidden: Its client may not do this.
            NotFound: Its client may not know of this deployment.
            TooManyRequests: Too many logins have failed.
            Unauthorized: It has no valid token.
        """
        need = self.need(request.match_info.route)
        if need.right is Right.NONE:
            request[CLIENT] = NOBODY
            return
        deployment = request.match_info.get("name", "") if need.is_named else need.deployment
        is_open = need.is_public and deployment in self.public
        given = request.headers.getall(hdrs.AUTHORIZATION, ())
        if is_open and not given:
            request[CLIENT] = NOBODY
            return
        # Two headers are no token: which of them counts would be a guess.
        authorization = ", ".join(given)
        client = self.roll.known(authorization)
        if client is None:  # the address is not asked for where it would not matter: that takes longer than the rest
            client = self.roll.find(authorization or None, client_address(request))
        request[CLIENT] = client
        if not is_open:
            _require(client, need, deployment)

    def sees(self, request: web.Request, deployment: str) -> bool:
        """Tell whether the client of a request may know of a deployment."""
        return deployment in self.public or client_of(request).may(Right.CALL, deployment)

    def require_token(self, request: web.Request, deployment: str) -> None:
        """Refuse a job of a client that could not ask for it later.

        Raises:
            Forbidden: It may call this deployment only because it is public.
            Unauthorized: It has no token.
        """
        client = client_of(request)
        if client is NOBODY:
            raise Unauthorized(MISSING)
        if not client.may(Right.CALL, deployment):
            raise Forbidden("This client keeps no jobs here: call without 'Prefer: respond-async'.")


def whose(request: web.Request) -> str | None:
    """Return the id of the client whose jobs alone a request is about, None for all."""
    client = client_of(request)
    return None if client.role is Role.ADMIN else client.id


def _require(client: Client, need: Need, deployment: str) -> None:
    if deployment and not client.may(Right.CALL, deployment):
        raise NotFound("There is no model of that name here; GET /v2/models/ lists those there are.")
    if client.right < need.right:
        raise Forbidden(f"This needs the role {_LEAST[need.right]}, and yours is {client.role}.")
    if need.is_whole and client.deployments:
        raise Forbidden("This tells of every deployment, and your client is for some of them only.")


_LEAST = {Right.CALL: Role.CLIENT, Right.TRAIN: Role.DEPLOYER, Right.ADMIN: Role.ADMIN}


def _with_head(route: web.AbstractRoute) -> Iterator[web.AbstractRoute]:
    """Yield a route, and the one that aiohttp has added for HEAD beside one for GET."""
    yield route
    if route.method == hdrs.METH_GET and route.resource is not None:
        yield from (each for each in route.resource if each.method == hdrs.METH_HEAD and each.handler == route.handler)
