"""The pages for people: Swagger UI and ReDoc over the published description, with every asset served from here.

    /api, /docs -> Swagger UI    /redoc -> ReDoc    /ui -> redirect to /api    /assets/NAME -> one of a fixed table

The HTML holds no script of its own and nothing of a model, so its Content-Security-Policy can be strict: a model's
texts arrive as JSON and are drawn by the two programs, which clean them. Nothing is loaded from another host.
"""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from modelserve.access.roll import Roll
from modelserve.web.proxies import prefix_of

__all__ = ["ASSETS", "Asset", "Pages"]

_OWN_FOLDER = Path(__file__).parent / "assets"

# No source but this server. ReDoc and Swagger UI write style attributes, show answers as blob: images, sounds and
# films, and draw their icons as data: images. ReDoc builds its search index in a worker made from a blob.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src blob:",
        "connect-src 'self'",
        "font-src 'self' data:",
        "worker-src blob:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)

_HTML_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="$base/assets/icon.svg">
<link rel="stylesheet" href="$base/assets/page.css">
$head
</head>
<body>
<noscript>This page needs JavaScript; <a href="$base/openapi.json">openapi.json</a> does not.</noscript>
$body
</body>
</html>
""")

_NO_HEAD = Template("")
_SWAGGER_HEAD = Template('<link rel="stylesheet" href="$base/assets/swagger_style.css">')
_SWAGGER_BODY = Template("""\
<div id="swagger-ui"></div>
<script src="$base/assets/swagger_bundle.js"></script>
<script src="$base/assets/swagger-fields.js"></script>
<script src="$base/assets/swagger-token.js" data-is-closed="$is_closed"></script>
<script src="$base/assets/swagger-init.js" data-spec-url="$base/openapi.json"></script>""")

_REDOC_BODY = Template("""\
<redoc data-spec-url="$base/openapi.json"></redoc>
<script type="module" src="$base/assets/redoc-init.js"></script>""")


@dataclass(frozen=True)
class Asset:
    """One file that may be served: which package's folder it lies in ("" for our own) and its media type."""

    package: str
    content_type: str


ASSETS: Mapping[str, Asset] = {
    "icon.svg": Asset("", "image/svg+xml"),
    "page.css": Asset("", "text/css; charset=utf-8"),
    "swagger-fields.js": Asset("", "text/javascript; charset=utf-8"),
    "swagger-token.js": Asset("", "text/javascript; charset=utf-8"),
    "swagger-init.js": Asset("", "text/javascript; charset=utf-8"),
    "redoc-init.js": Asset("", "text/javascript; charset=utf-8"),
    "swagger_bundle.js": Asset("offapi", "text/javascript; charset=utf-8"),
    "swagger_style.css": Asset("offapi", "text/css; charset=utf-8"),
    "redoc.js": Asset("offapi", "text/javascript; charset=utf-8"),
}


class Pages:
    """The pages and their assets as routes.

    Args:
        base_path: The prefix under which the application is reached, such as ``/lab``, or "" for none. Used only to
            write addresses into the HTML.
        title: The title of the pages.
        roll: Whom the server knows: where it knows anybody, the page asks for a token first.
    """

    def __init__(self, *, base_path: str, title: str, roll: Roll | None = None) -> None:
        self._base_path = base_path.rstrip("/")
        self._title = title
        self._roll = roll or Roll()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of all pages and assets, relative to the base path.

        Raises:
            FileNotFoundError: An asset is missing, so the installation is broken.
        """
        assets = [web.get(f"/assets/{name}", _sender(_locate(name, asset), asset)) for name, asset in ASSETS.items()]
        return [
            web.get("/api", self.swagger),
            web.get("/docs", self.swagger),
            web.get("/redoc", self.redoc),
            web.get("/ui", self.redirect),
            *assets,
        ]

    async def swagger(self, request: web.Request) -> web.Response:
        """Answer the Swagger UI page."""
        return self._page(request, _SWAGGER_BODY, head=_SWAGGER_HEAD)

    async def redoc(self, request: web.Request) -> web.Response:
        """Answer the ReDoc page."""
        return self._page(request, _REDOC_BODY)

    async def redirect(self, request: web.Request) -> web.Response:
        """Send DEEPaaS's address of the page to ours; a query is dropped."""
        return web.Response(status=302, headers={"Location": f"{prefix_of(request)}{self._base_path}/api"})

    def _page(self, request: web.Request, body: Template, *, head: Template = _NO_HEAD) -> web.Response:
        # A proxy, or the browser from earlier on, may send a token by itself.
        is_closed = not self._roll.is_empty and hdrs.AUTHORIZATION not in request.headers
        words = {
            "base": html.escape(prefix_of(request) + self._base_path),
            "title": html.escape(self._title),
            "is_closed": str(is_closed).lower(),
        }
        text = _PAGE.substitute(words, head=head.substitute(words), body=body.substitute(words))
        return web.Response(text=text, content_type="text/html", headers=_HTML_HEADERS)


def _locate(name: str, asset: Asset) -> Path:
    path = (_package_folder(asset.package) if asset.package else _OWN_FOLDER) / name
    if not path.is_file():
        raise FileNotFoundError(f"the page asset {name} is missing from {asset.package or 'modelserve'}; reinstall it")
    return path


def _package_folder(package: str) -> Path:
    # Found, never imported: importing offapi builds about 20 MB of strings out of the same files.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package}, which holds the pages' assets, is not installed")
    return Path(spec.origin).parent


def _sender(path: Path, asset: Asset) -> Handler:
    headers = {
        "Content-Type": asset.content_type,
        "X-Content-Type-Options": "nosniff",
        # Kept by the browser, asked for again by ETag: an upgrade is seen at once.
        "Cache-Control": "no-cache",
    }

    async def send(request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return send
