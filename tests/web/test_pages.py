"""The pages for people, over a real server, and in a real Chromium."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from aiohttp import BodyPartReader, ClientSession, web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, FilePayload, Page, Request

from modelserve.messages import Description
from modelserve.web import pages
from modelserve.web.openapi import build_openapi
from modelserve.web.pages import ASSETS, Pages
from tests.running import running
from tests.web.descriptions import everything, plain, vision
from tests.web.guarded import basic, guarded
from tests.web.v2.asking import MODEL, TRAIN, ended

HTML = ("/api", "/docs", "/redoc")
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Site:
    """A running server with the pages, the document of some models and a predict route that records its requests."""

    url: str
    predicted: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)


@asynccontextmanager
async def serve(models: Mapping[str, Description], *, base: str = "", title: str = "Test") -> AsyncIterator[Site]:
    """Serve the pages of the models on a free port, and close the server afterwards."""
    site = Site("")

    async def document(request: web.Request) -> web.Response:
        return web.json_response(build_openapi(models, title=title, version="1.0", base_path=base))

    async def predict(request: web.Request) -> web.Response:
        parts = []
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            parts.append((str(part.name), part.headers["Content-Type"] if part.filename else await part.text()))
        site.predicted.append((request.path_qs, parts))
        return web.json_response({"label": "seven"})

    app = web.Application()
    own = [web.get("/openapi.json", document), web.post("/v2/models/{name}/predict/", predict)]
    routes = [*Pages(base_path=base, title=title).routes(), *own]
    app.add_routes([web.route(route.method, base + route.path, route.handler) for route in routes])
    async with TestServer(app, host="127.0.0.1") as server:
        site.url = str(server.make_url("")).rstrip("/") + base
        yield site


@asynccontextmanager
async def serve_stranger() -> AsyncIterator[tuple[str, list[str]]]:
    """Serve another origin, that answers everything and records who asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="gotcha", headers={"Access-Control-Allow-Origin": "*"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/"), asked


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.mark.parametrize("path", HTML)
async def test_a_page_says_what_a_browser_may_do_with_it(path: str, client: ClientSession) -> None:
    """L04, L06."""
    async with serve({}) as site, client.get(site.url + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; " in policy
        assert "frame-ancestors 'none'; base-uri 'none'; form-action 'self'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", HTML)
async def test_a_page_holds_no_script_of_its_own(path: str, client: ClientSession) -> None:
    """L04."""
    async with serve({}) as site, client.get(site.url + path) as response:
        text = await response.text()
    assert re.findall(r"<script[^>]*>([^<]+)</script>", text) == []
    assert re.findall(r"\son\w+=", text) == []
    assert all(address.startswith("/") for address in re.findall(r'(?:src|href)="([^"]*)"', text))


@pytest.mark.parametrize("name", sorted(name for name, asset in ASSETS.items() if not asset.package))
def test_our_own_assets_keep_no_token_and_write_no_markup(name: str) -> None:
    """L04, L09: what is typed into the page is gone with it."""
    text = (Path(pages.__file__).parent / "assets" / name).read_text()
    for word in ("localStorage", "sessionStorage", "cookie", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("):
        assert word not in text
    assert "persistAuthorization: true" not in text


@pytest.mark.parametrize("path", HTML)
async def test_title_and_base_path_are_escaped(path: str, client: ClientSession) -> None:
    app = web.Application()
    app.add_routes(Pages(base_path='/"><script>x</script>', title="</title><script>&").routes())
    async with TestServer(app) as server, client.get(server.make_url(path)) as response:
        text = await response.text()
    assert "<title>&lt;/title&gt;&lt;script&gt;&amp;</title>" in text
    assert "<script>x" not in text


async def test_addresses_carry_the_base_path(client: ClientSession) -> None:
    async with serve({}, base="/lab") as site:
        async with client.get(f"{site.url}/api") as response:
            text = await response.text()
        addresses = re.findall(r'(?:src|href|data-spec-url)="([^"]*)"', text)
        assert len(addresses) >= 6
        assert all(address.startswith("/lab/") for address in addresses)


async def test_ui_leads_to_the_page_and_drops_the_query(client: ClientSession) -> None:
    async with (
        serve({}, base="/lab") as site,
        client.get(f"{site.url}/ui?url=//evil.example", allow_redirects=False) as response,
    ):
        assert (response.status, response.headers["Location"]) == (302, "/lab/api")


@pytest.mark.parametrize("name", ASSETS)
async def test_an_asset_is_served_with_its_type_and_kept_by_etag(name: str, client: ClientSession) -> None:
    async with serve({}) as site:
        async with client.get(f"{site.url}/assets/{name}") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == ASSETS[name].content_type
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-cache"
            etag = response.headers["ETag"]
        async with client.get(f"{site.url}/assets/{name}", headers={"If-None-Match": etag}) as response:
            assert response.status == 304


@pytest.mark.parametrize(
    "name", ["", "scalar.js", "__init__.py", "../pages.py", "..%2fpages.py", "%2fetc%2fpasswd", "nul%00"]
)
async def test_nothing_but_the_table_is_served(name: str, client: ClientSession) -> None:
    async with serve({}) as site, client.get(f"{site.url}/assets/{name}") as response:
        assert response.status == 404


def test_the_assets_are_found_without_importing_their_package() -> None:
    Pages(base_path="", title="").routes()
    assert "offapi" not in sys.modules


def test_a_missing_asset_says_what_to_reinstall() -> None:
    with pytest.raises(FileNotFoundError, match=r"nosuch\.js is missing from modelserve; reinstall it"):
        pages._locate("nosuch.js", pages.Asset("", "text/javascript"))
    with pytest.raises(FileNotFoundError, match="nosuch_package"):
        pages._locate("x.js", pages.Asset("nosuch_package", "text/javascript"))


def test_our_own_scripts_write_no_html_and_evaluate_no_text() -> None:
    """L04."""
    folder = Path(pages.__file__).parent / "assets"
    scripts = list(folder.glob("*.js"))
    assert {script.name for script in scripts} <= ASSETS.keys()
    for script in scripts:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(", script.read_text()
        )


def test_swagger_ui_is_of_a_version_without_known_holes() -> None:
    """L05."""
    spec = find_spec("offapi")
    assert spec is not None
    assert spec.origin is not None
    sources = json.loads((Path(spec.origin).parent / "url.json").read_text())
    version = re.search(r"swagger-ui-dist@(\d+)\.(\d+)", sources["swagger_bundle.js"])
    assert version is not None
    assert (int(version[1]), int(version[2])) >= (5, 17)


# ---- in Chromium


@dataclass
class Watch:
    """What happened in a page that should not: errors, and requests to anywhere but the server under test."""

    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


def watch(page: Page, home: str) -> Watch:
    seen = Watch()
    origin = re.match(r"https?://[^/]+/", home + "/")
    assert origin is not None

    def on_request(request: Request) -> None:
        if not request.url.startswith((origin[0], "data:", "blob:")):
            seen.strangers.append(request.url)

    page.on("request", on_request)
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("dialog", lambda dialog: seen.dialogs.append(dialog.message))
    return seen


@pytest.mark.parametrize("base", ["", "/lab"])
async def test_swagger_ui_shows_every_operation_and_asks_nobody_else(base: str, browser: Browser) -> None:
    async with serve({"plain": plain(), "vision": vision()}, base=base) as site:
        page = await browser.new_page()
        seen = watch(page, site.url)
        await page.goto(f"{site.url}/api")
        await page.wait_for_selector("#operations-vision-predict_vision")
        assert await page.locator(".opblock").count() == 10
        await page.click("#operations-plain-predict_plain .opblock-summary")
        await page.wait_for_selector("text=How many.")
        assert await page.locator(".topbar").count() == 0
    assert (seen.errors, seen.strangers) == ([], [])


def picture(name: str) -> FilePayload:
    return FilePayload(name=name, mimeType="image/png", buffer=PNG)


async def test_swagger_ui_sends_a_file_and_leaves_out_what_is_empty(browser: Browser) -> None:
    async with serve({"vision": vision()}, base="/lab") as site:
        page = await browser.new_page()
        seen = watch(page, site.url)
        await page.goto(f"{site.url}/api")
        await page.click("#operations-vision-predict_vision .opblock-summary")
        await page.set_input_files("[data-property-name=image] input[type=file]", picture("7.png"))
        await page.click("button.execute")
        await page.wait_for_selector(".live-responses-table >> text=seven")
    assert site.predicted == [("/lab/v2/models/vision/predict/", [("image", "image/png"), ("top_k", "3")])]
    assert (seen.errors, seen.strangers) == ([], [])


async def test_swagger_ui_sends_everything_that_was_filled_in(browser: Browser) -> None:
    async with serve({"vision": vision()}) as site:
        page = await browser.new_page()
        await page.goto(f"{site.url}/api")
        await page.click("#operations-vision-predict_vision .opblock-summary")
        await page.set_input_files("[data-property-name=image] input[type=file]", picture("7.png"))
        await page.click("[data-property-name=more] .json-schema-form-item-add")
        await page.set_input_files("[data-property-name=more] input[type=file]", picture("8.png"))
        await page.fill("[data-property-name=note] input[type=text]", "hello")
        await page.fill("[data-property-name=scale] input[type=text]", "5")
        await page.click("[data-property-name=words] .json-schema-form-item-add")
        await page.fill("[data-property-name=words] input[type=text]", "one")
        await page.select_option("[data-param-name=accept] select", "image/png")
        await page.click("button.execute")
        await page.wait_for_selector(".live-responses-table >> text=seven")
    sent = [("image", "image/png"), ("more", "image/png"), ("top_k", "3"), ("note", "hello")]
    sent += [("scale", "5"), ("words", "one")]
    assert site.predicted == [("/v2/models/vision/predict/?accept=image%2Fpng", sent)]


async def test_swagger_ui_starts_a_training_and_shows_the_answer(browser: Browser, tmp_path: Path) -> None:
    with running([MODEL], folder=tmp_path) as server:
        page = await browser.new_page()
        seen = watch(page, f"http://127.0.0.1:{server.port}")
        await page.goto(f"http://127.0.0.1:{server.port}/api")
        await page.click("#operations-apprentice-train_apprentice .opblock-summary")
        await page.fill("[data-property-name=epochs] input[type=text]", "2")
        data = FilePayload(name="a.txt", mimeType="text/plain", buffer=b"learn")
        await page.set_input_files("[data-property-name=data] input[type=file]", data)
        await page.click("button.execute")
        await page.wait_for_selector(".live-responses-table >> text=queued")
        (job,) = server.get(TRAIN).json()
        assert job["args"] == {"epochs": 2, "gate": "", "mode": "", "data": "a.txt"}
        done = await asyncio.to_thread(ended, server, TRAIN + job["uuid"])
        assert done["result"]["output"] == {"epochs": 2, "read": "learn", "more": ""}
        assert (seen.errors, seen.strangers) == ([], [])


async def test_swagger_ui_opens_no_other_document_than_ours(browser: Browser) -> None:
    """L05."""
    async with serve_stranger() as (stranger, asked), serve({"plain": plain()}) as site:
        page = await browser.new_page()
        await page.goto(
            f"{site.url}/api?url={stranger}/spec.json&configUrl={stranger}/config.json&layout=StandaloneLayout"
        )
        await page.wait_for_selector("#operations-plain-predict_plain")
        assert asked == []


async def test_redoc_shows_every_operation_and_asks_nobody_else(browser: Browser) -> None:
    async with serve({"plain": plain(), "vision": vision()}, base="/lab") as site:
        page = await browser.new_page()
        seen = watch(page, site.url)
        await page.goto(f"{site.url}/redoc")
        await page.wait_for_selector("text=/v2/models/vision/predict/")
        await page.wait_for_selector("text=API docs by")
    assert (seen.errors, seen.strangers) == ([], [])


@pytest.mark.parametrize("path", ["/api", "/redoc"])
async def test_a_models_texts_run_no_script_and_call_nobody(path: str, browser: Browser) -> None:
    """L04."""
    async with serve_stranger() as (stranger, asked), serve(everything(stranger)) as site:
        page = await browser.new_page()
        seen = watch(page, site.url)
        await page.goto(site.url + path)
        # The tags are shown as text, and have been parsed once they are seen.
        await page.get_by_text("window.__pwned='svg'").first.wait_for()
        if path == "/api":
            await page.click("#operations-hostile-predict_hostile .opblock-summary")
            await page.wait_for_selector("#operations-hostile-predict_hostile .execute")
        else:
            await page.goto(f"{site.url}/redoc#/hostile/predict_hostile")
            await page.get_by_text("An argument may be given in the query").first.wait_for()
        for bait in await page.get_by_text("bait", exact=True).all():
            await bait.dispatch_event("click")
        assert await page.evaluate("window.__pwned") is None
        assert page.url.startswith(site.url + path)
        assert await page.locator("img[onerror], svg[onload], iframe, .bait, base, meta[http-equiv]").count() == 0
        assert (asked, seen.dialogs) == ([], [])
        assert await page.evaluate("document.title") == "Test"


async def test_swagger_ui_authorizes_with_both_schemes(browser: Browser, tmp_path: Path) -> None:
    """K13, L09: as whom the Authorize button says; the browser's own dialog would keep the token."""
    with guarded(tmp_path) as there:
        home, token = f"http://127.0.0.1:{there.server.port}", there.tokens["dora"]
        context = await browser.new_context(http_credentials={"username": "alice", "password": there.tokens["alice"]})
        page = await context.new_page()
        seen = watch(page, home)
        await page.goto(f"{home}/api")
        for fields, sent in (
            ({"auth-bearer-value": token}, f"Bearer {token}"),
            ({"auth-basic-username": "dora", "auth-basic-password": token}, basic("dora", token)["Authorization"]),
        ):
            await page.click(".btn.authorize")
            for label, text in fields.items():
                await page.fill(f"[aria-label={label}]", text)
            (form,) = await page.locator("form", has=page.locator(f"[aria-label={next(iter(fields))}]")).all()
            await form.locator("button.authorize").click()
            await page.click("button.btn-done")
            assert await _shown_as(page) == sent
            await page.click(".btn.authorize")
            await page.click("button:has-text('Logout')")
            await page.click("button.btn-done")
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert token not in page.url
        assert (seen.errors, seen.strangers) == ([], [])


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
async def test_swagger_ui_asks_for_a_token_where_one_is_needed(scheme: str, browser: Browser, tmp_path: Path) -> None:
    """U11: without one there was no form, and with a wrong one the browser's own dialog."""
    with guarded(tmp_path) as there:
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{there.server.port}/api")
        await page.get_by_text("This server needs a token.").wait_for()
        await page.click(".btn.authorize")
        for token, shown in (("wrong", "is not valid."), (there.tokens["bob"], "/v2/models/batched/predict/")):
            if scheme == "basic":
                await page.fill("[aria-label=auth-basic-username]", "bob")
            last = page.locator(f"[aria-label=auth-{'bearer-value' if scheme == 'bearer' else 'basic-password'}]")
            await last.fill(token)
            await page.locator("form", has=last).locator("button.authorize").click()
            await page.get_by_text(shown).first.wait_for()
        await page.click("button.btn-done >> nth=0")
        await page.click("#operations-batched-predict_batched .opblock-summary")
        await page.click("#operations-batched-predict_batched button.execute")
        await page.locator(".live-responses-table >> text=bob").first.wait_for()


async def test_the_page_asks_for_no_token_of_who_sends_one_or_where_none_is_needed(tmp_path: Path) -> None:
    asking = 'data-is-closed="true"'
    with guarded(tmp_path) as there:
        assert asking in there.ask("GET", "/api").body.decode()
        assert asking not in there.ask("GET", "/api", name="bob").body.decode()
    async with serve({}) as site, ClientSession() as session, session.get(f"{site.url}/api") as response:
        assert asking not in await response.text()


async def _shown_as(page: Page) -> str:
    """Have the page ask for what only needs a token, and return as whom it did."""
    block = page.locator("#operations-The_service-get_v2")
    if await block.locator("button.execute").count() == 0:
        await block.locator(".opblock-summary").click()
    async with page.expect_request("**/v2/") as asked:
        await block.locator("button.execute").click()
    request = await asked.value
    response = await request.response()
    assert response is not None
    assert response.status == 200
    return str((await request.all_headers())["authorization"])
