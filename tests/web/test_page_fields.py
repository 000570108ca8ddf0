"""The fields of the Swagger page, in a real Chromium: what is typed arrives, and nothing is invented."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import missing
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from tests.running import Running, running
from tests.web import every_field
from tests.web.every_field import CASES, NEEDED, Choice, Texts
from tests.web.v2.asking import ended

FORM = "application/x-www-form-urlencoded"
FILES = {"file": ["a;b;c ü.txt"], "picture": ["p.png"], "files": ["one.txt", "two.txt"]}
# How long the page may take to show what it has.
SHOWN_MS = 30_000
KINDS = {"txt": "text/plain", "png": "image/png"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    models = [f"{every_field.__file__}:{name}" for name in ("Json", "Form", "Needy", "Media")]
    with running(models, folder=tmp_path_factory.mktemp("fields")) as server:
        yield server


async def opened(browser: Browser, server: Running, operation: str) -> tuple[Page, Locator]:
    """Open an operation on the page."""
    page = await browser.new_page()
    await page.goto(f"http://127.0.0.1:{server.port}/api")
    block = page.locator(f"#operations-{operation}")
    await block.locator(".opblock-summary").click()
    await block.locator("button.execute").wait_for()
    return page, block


async def executed(page: Page, block: Locator) -> tuple[int, str]:
    """Execute, and return the status of the answer and its text as the page shows it."""
    async with page.expect_response(lambda response: response.request.method == "POST") as answering:
        await block.locator("button.execute").click()
    status = (await answering.value).status
    shown = block.locator(".live-responses-table .response-col_description .highlight-code code").first
    await block.locator(f".live-responses-table .response-col_status:has-text('{status}')").wait_for()
    return status, await shown.inner_text()


async def told_by(page: Page, block: Locator) -> Any:
    """Execute, and return what the model tells of its arguments."""
    status, text = await executed(page, block)
    assert status == 200, text
    return json.loads(text)["predictions"]["told"]


def row(block: Locator, name: str) -> Locator:
    dashed = name.replace("_", "-")
    return block.locator(f"[data-property-name='{name}'], [data-param-name='{name}'], [data-param-name='{dashed}']")


async def fill(block: Locator, name: str, typed: Any) -> None:
    """Fill in a field as a person does."""
    field = row(block, name)
    add = field.locator(".json-schema-form-item-add")
    match typed:
        case str():
            await field.locator("textarea, input[type=text]").fill(typed)
        case Choice(picked):
            await field.locator("select").select_option(picked)
        case Texts([str(), *_] as items):
            for place, item in enumerate(items):
                await add.click()
                await field.locator("textarea").nth(place).fill(item)
        case Texts(lists):
            for place, items in enumerate(lists):
                await add.last.click()
                inner = field.locator(".json-schema-array .json-schema-array").nth(place)
                await fill_items(inner, items)
        case list():
            await fill_items(field, typed)


async def fill_items(field: Locator, items: list[Any]) -> None:
    for place, item in enumerate(items):
        await field.locator(".json-schema-form-item-add").click()
        if isinstance(item, Choice):
            await field.locator("select").nth(place).select_option(item.picked)
        else:
            text = field.locator("input[type=text]").nth(place)
            await text.fill(item)
            await text.press("Tab")  # Swagger UI waits for more while the field is in use


async def fill_files(block: Locator, name: str) -> None:
    field = row(block, name)
    for place, filename in enumerate(FILES[name]):
        if name == "files":
            await field.locator(".json-schema-form-item-add").click()
        kind, content = KINDS[filename[-3:]], filename.encode()
        await (
            field.locator("input[type=file]")
            .nth(place)
            .set_input_files(FilePayload(name=filename, mimeType=kind, buffer=content))
        )


def given(name: str) -> str:
    """Return what the model tells of what was typed for one of its arguments."""
    return ", ".join(f"{each}: {each}" for each in FILES[name]) if name in FILES else repr(CASES[name].value)


async def test_every_field_of_a_form_arrives_as_it_was_typed(browser: Browser, server: Running) -> None:
    """U1: and first, with no more than what is needed, all others are the model's own defaults."""
    page, block = await opened(browser, server, "form-predict_form")
    for name in NEEDED:
        await fill(block, name, CASES[name].typed)
    await fill_files(block, "file")
    told = await told_by(page, block)
    needed = {name: given(name) for name in [*NEEDED, "file"]}
    defaults = {name: repr(case.field.load_default) for name, case in CASES.items() if name in told}
    assert told == {**defaults, "picture": "None", **needed}

    for name, case in CASES.items():
        if name not in NEEDED:
            await fill(block, name, case.typed)
    for name in ("picture", "files"):
        await fill_files(block, name)
    assert await told_by(page, block) == {name: given(name) for name in [*CASES, *FILES]}


async def test_so_it_does_in_an_urlencoded_form(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "json-predict_json")
    await block.locator(".opblock-section-request-body select").first.select_option(FORM)
    names = [*NEEDED, "text_like_null", "texts", "integers", "lists", "objects", "object", "vector", "lines"]
    for name in names:
        await fill(block, name, CASES[name].typed)
    told = await told_by(page, block)
    assert {name: told[name] for name in names} == {name: given(name) for name in names}


async def test_a_json_body_starts_with_what_is_needed_and_numbers_stay_as_they_are(
    browser: Browser, server: Running
) -> None:
    page, block = await opened(browser, server, "json-predict_json")
    body = block.locator("textarea.body-param__text")
    first = json.loads(await body.input_value())
    said = {name for name, case in CASES.items() if case.field.load_default not in (missing, None)}
    assert first.keys() == {*NEEDED, *said} - {"integer_big_default"}
    status, text = await executed(page, block)
    assert status == 200, text

    await body.fill(json.dumps({**first, "integer_needed": every_field.BIG, "raw": [every_field.BIG, 1.0]}))
    status, text = await executed(page, block)
    assert status == 200, text
    assert json.loads(text)["predictions"]["told"]["raw"] == repr([every_field.BIG, 1.0])
    assert re.sub(r"\s", "", text).endswith('"numbers":[9007199254740993,1.0,9007199254740993]}}')


async def test_the_first_json_body_is_accepted_whatever_is_needed(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "needy-predict_needy")
    status, text = await executed(page, block)
    assert status == 200, text


async def test_the_page_says_which_needed_fields_are_missing(browser: Browser, server: Running) -> None:
    """U10: of a file it said nothing."""
    page, block = await opened(browser, server, "form-predict_form")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    await block.locator("button.execute").click()
    for name in [*NEEDED, "file"]:
        await row(block, name).locator("[role=alert]").wait_for()
    assert await block.locator("[role=alert]").count() == len(NEEDED) + 1
    first = block.locator("[role=alert]").first
    await expect(first).to_be_in_viewport(timeout=SHOWN_MS)
    assert await first.inner_text() == "Required field is not provided"
    assert posted == []
    await fill_files(block, "file")
    for name in NEEDED:
        await fill(block, name, CASES[name].typed)
    status, _ = await executed(page, block)
    assert status == 200
    assert await block.locator("[role=alert]").count() == 0


async def test_the_page_says_what_is_wrong_with_a_parameter(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "form-predict_form")
    for name in NEEDED:
        await fill(block, name, CASES[name].typed)
    await fill_files(block, "file")
    await fill(block, "in_query", "one")
    await fill(block, "integers_in_header", ["1", "two"])
    await block.locator("button.execute").click()
    for name in ("in_query", "integers_in_header"):
        assert await row(block, name).locator("[role=alert]").inner_text() == "Value must be an integer"
    await expect(block.locator("[role=alert]").first).to_be_in_viewport(timeout=SHOWN_MS)
    assert await page.locator(".live-responses-table").count() == 0


async def test_only_a_text_can_be_sent_empty(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "form-predict_form")
    offered = block.locator("[data-property-name]", has=page.locator(".parameter__empty_value_toggle:visible"))
    names = {await each.get_attribute("data-property-name") for each in await offered.all()}
    assert {"text", "text_like_json"} <= names
    assert names.isdisjoint({"integer", "float", "truth", "choice", "email", "texts", "object", "picture", "files"})
    for name in NEEDED:
        await fill(block, name, CASES[name].typed)
    await fill_files(block, "file")
    await row(block, "text_like_a_list").locator("input[type=text]").fill("")
    await row(block, "text_like_a_list").locator("input[type=checkbox]").check()
    assert (await told_by(page, block))["text_like_a_list"] == "''"


async def test_the_page_plays_a_sound_and_offers_a_file_under_its_name(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "media-predict_media")
    link = block.locator(".live-responses-table a[download]")
    for kind, name in (("application/zip", "räport 1.zip"), ("image/svg+xml", "response")):
        await block.locator("[data-param-name=accept] select").select_option(kind)
        await block.locator("button.execute").click()
        await expect(link).to_have_attribute("download", name, timeout=SHOWN_MS)
    await block.locator("[data-param-name=accept] select").select_option("audio/wav")
    await block.locator("button.execute").click()
    sound = block.locator(".live-responses-table audio")
    await sound.wait_for()
    await page.wait_for_function("document.querySelector('.live-responses-table audio').duration === 1")


async def test_a_training_has_the_same_fields(browser: Browser, server: Running) -> None:
    page, block = await opened(browser, server, "form-train_form")
    for name in [*NEEDED, "texts", "integers", "object"]:
        await fill(block, name, CASES[name].typed)
    await fill_files(block, "file")
    status, text = await executed(page, block)
    assert status == 200, text
    job = await asyncio.to_thread(ended, server, f"/v2/models/form/train/{json.loads(text)['uuid']}")
    told = job["result"]["output"]["told"]
    assert {name: told[name] for name in ("texts", "integers", "object", "file")} == {
        name: given(name) for name in ("texts", "integers", "object", "file")
    }
