"""Several visitors upload to *Try it* at the same time: each has to be told of its own image.

What each page answers is compared with what the predictor says of the same file alone, and the
app's largest memory is read. Part of `app_walk.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import TimeoutError as PlaywrightTimeout

from app_driver import Visit, dicom, jpeg, upload, visiting
from pneumoscope.app.language import spoken
from pneumoscope.app.pictures import png
from pneumoscope.app.words import common, trying
from pneumoscope.bundle.prediction import Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.data.phantoms import draw_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VISITORS, ROUNDS = 8, 3
CLOSE = 1e-3
"""Probabilities of one file differ by less."""


@dataclass(frozen=True)
class Crowd:
    """What came of it.

    Attributes:
        wrong: Answers that are not of the visitor's own image.
        answers: All that were given.
        seconds: From giving the file to its answer, each.
        megabytes: The largest memory of the app's process since its start, of 2**20 bytes.
    """

    wrong: list[str]
    answers: int
    seconds: list[float]
    megabytes: float


def crowd(browser: Browser, address: str, *, bundle: Path, pid: int) -> Crowd:
    """Let them come, all with another image in every round."""
    predictor = Predictor.open(bundle)
    visits = [visiting(browser, address, width=1024, height=700) for _ in range(VISITORS)]
    for visit in visits:
        visit.open("en")
        visit.go(spoken(common.PAGES["try"], "en"))
    wrong: list[str] = []
    seconds: list[float] = []
    for turn in range(ROUNDS):
        files = [_file(place, turn) for place in range(VISITORS)]
        seconds += _given(visits, files)
        for visit, (name, content) in zip(visits, files, strict=True):
            trouble = _not_its_own(visit, predictor.predict(content))
            wrong += [f"{name}: {trouble}"] if trouble else []
            visit.page.get_by_test_id("stFileChipDeleteBtn").first.click()
            visit.settle()
    for visit in visits:
        wrong += visit.troubles
        visit.page.context.close()
    return Crowd(wrong, VISITORS * ROUNDS, seconds, peak_megabytes(pid))


def peak_megabytes(pid: int) -> float:
    """The largest resident memory of a process so far, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _file(place: int, turn: int) -> tuple[str, bytes]:
    """Another phantom for each, of another size and format."""
    label = ("NORMAL", "PNEUMONIA")[(place + turn) % 2]
    picture = draw_phantom(seed=1000 * turn + place, label=label, size=320 + 96 * place)
    kind, made = (("png", png), ("jpg", jpeg), ("dcm", dicom))[place % 3]
    return f"visitor{place}-{turn}.{kind}", made(picture)


def _given(visits: Sequence[Visit], files: Sequence[tuple[str, bytes]]) -> list[float]:
    """Give every file before any is answered; how long each took."""
    began = []
    for visit, (name, content) in zip(visits, files, strict=True):
        began.append(time.perf_counter())
        visit.page.locator("input[type=file]").set_input_files([upload(name, content)])
    took = []
    failed = spoken(common.FAILED, "en")
    for visit, (name, _), start in zip(visits, files, began, strict=True):
        done = visit.page.get_by_text(spoken(trying.OF_FILE, "en", name=name, done="").strip())
        with suppress(PlaywrightTimeout):  # noted below: the page then tells another thing
            done.or_(visit.page.get_by_text(failed)).first.wait_for(timeout=60_000)
        took.append(time.perf_counter() - start)
    for visit in visits:
        visit.settle()
    return took


def _not_its_own(visit: Visit, expected: Prediction) -> str | None:
    """How the page's answer differs from what its image is told alone; None where it does not."""
    page = visit.page
    if not page.get_by_role("button", name="JSON", exact=True).count():
        told_instead = page.locator("[data-testid=stMain]").inner_text()
        return f"not answered: {' '.join(told_instead.split())[-300:]}"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON", exact=True).click()
    told: dict[str, Any] = json.loads(waiting.value.path().read_text(encoding="utf8"))
    own, alone = told["probabilities"], expected.probabilities
    same = told["decision"] == expected.decision and own.keys() == alone.keys()
    if same and all(abs(own[label] - share) <= CLOSE for label, share in alone.items()):
        return None
    return f"told {told['decision']} {own}, alone {expected.decision} {alone}"
