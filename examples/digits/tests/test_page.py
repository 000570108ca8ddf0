"""The page in a real browser: a person tries predict out with a picture, and nothing leaves the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.async_api import async_playwright

from modelserve.testing import ServedModel

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


async def test_a_picture_is_tried_out_on_the_page(samples: Path) -> None:
    asked: list[str] = []
    async with ServedModel("digits") as served, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{served.url}/api")
        operation = page.locator("#operations-digits-predict_digits")
        await operation.locator(".opblock-summary-control").click()
        await operation.locator("input[type=file]").set_input_files(samples / "7.png")
        await operation.locator("button.execute").click()
        answer = operation.locator(".live-responses-table")
        assert (await answer.locator(".response-col_status").last.inner_text()).startswith("200")
        assert '"label": 7' in await answer.inner_text()
        await browser.close()
        strangers = [url for url in asked if not url.startswith((served.url, "data:", "blob:"))]
    assert strangers == []
