"""The app in a real browser, briefly: every page, a phone, an upload, the viewer, a download."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app_driver import browsing, dicom, find_chromium, serving, upload, visiting
from pneumoscope.app.words import common
from pneumoscope.data.phantoms import draw_phantom

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult


def test_a_visit(trained: TrainResult) -> None:
    try:
        find_chromium()
    except FileNotFoundError as error:
        pytest.fail(str(error))
    options = ("--bundle", str(trained.bundle), "--runs", str(trained.output))
    with serving(*options) as address, browsing() as browser:
        visit = visiting(browser, address, width=390, height=844)
        visit.open("fr")
        page = visit.page
        assert page.evaluate("document.documentElement.lang") == "fr"
        for name in ("evaluation", "try"):
            visit.go(common.PAGES[name].fr)
            visit.check(name)
            assert "lang=fr" in page.url
        picture = draw_phantom(seed=3, label="PNEUMONIA", size=320)
        page.locator("input[type=file]").set_input_files([upload("p.dcm", dicom(picture))])
        page.get_by_text("320 \u00d7 320").wait_for(timeout=30_000)
        visit.settle()
        page.get_by_label("Opacité de la carte").fill("80")
        assert page.locator(".over").evaluate("one => getComputedStyle(one).opacity") == "0.8"
        page.locator(".choices label", has_text="NORMAL").click()
        assert "NORMAL" in str(page.locator(".over").get_attribute("alt"))
        with page.expect_download() as waiting:
            page.get_by_role("button", name="JSON").click()
        content = json.loads(waiting.value.path().read_text(encoding="utf8"))
        assert content["gate"]
        visit.check("answer")
        assert not visit.troubles
