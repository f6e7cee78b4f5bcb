"""A running app and a browser that watches itself: for the browser test and `bench/app_walk.py`."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
IDLE = "[data-test-script-state=notRunning]"


def find_chromium() -> str:
    """The installed browser.

    Raises:
        FileNotFoundError: there is none; says what to do.
    """
    for name in CHROMIUM:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        f"no browser ({', '.join(CHROMIUM)}). Install one: apt install chromium"
    )


class Served(str):
    """The address of a running app, and the process that serves it."""

    __slots__ = ("pid",)
    pid: int


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """The address of `pneumoscope app` with these options, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pneumoscope", "app", *options, "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--headless"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    address = Served(f"http://localhost:{port}")
    address.pid = process.pid
    try:
        _await(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError((process.stderr.read() if process.stderr else b"").decode())
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(address)


@dataclass
class Visit:
    """A page in the browser, and what went wrong in it.

    Attributes:
        page: Playwright's.
        address: Of the app.
        troubles: Console errors, requests that left the machine, answers of 400 and above.
    """

    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> Visit:
        """Note troubles from now on."""
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("response", self._response)
        return self

    def open(self, language: str = "en") -> None:
        """Go to the first page in a language."""
        self.page.goto(f"{self.address}/?lang={language}")
        self.settle()

    def go(self, title: str) -> None:
        """Go to another page by the navigation, which a phone folds away."""
        page = self.page
        folded = page.get_by_test_id("stExpandSidebarButton")
        phone = folded.is_visible()
        if phone:
            folded.click()
            page.wait_for_timeout(400)
        page.get_by_role("link", name=title, exact=True).first.click()
        page.wait_for_timeout(400)
        self.settle()
        if phone and not folded.is_visible():
            page.get_by_test_id("stSidebarCollapseButton").locator("button").click()
            page.wait_for_timeout(400)

    def settle(self) -> None:
        """Wait until the script has run and the page shows it."""
        self.page.wait_for_selector("h1", timeout=60_000)
        self.page.wait_for_selector(IDLE, state="attached", timeout=60_000)
        self.page.wait_for_timeout(350)

    def check(self, where: str) -> None:
        """Note an exception box, or text that runs out of the page."""
        page = self.page
        if page.get_by_test_id("stException").count() or page.get_by_test_id("stAlert").count():
            self.troubles.append(f"{where}: exception box")
        wide = page.evaluate(
            "[document.documentElement.scrollWidth, "
            "document.querySelector('[data-testid=stMain]').scrollWidth, innerWidth]"
        )
        if max(wide[:2]) > wide[2]:
            self.troubles.append(f"{where}: {max(wide[:2])} pixels wide on {wide[2]}")

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.troubles.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        if not request.url.startswith(own):
            self.troubles.append(f"request: {request.url[:120]}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.status}: {response.url[:120]}")


@contextmanager
def browsing() -> Iterator[Browser]:
    """The installed browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def visiting(browser: Browser, address: str, *, width: int, height: int, **options: Any) -> Visit:
    """A visit in a window of its own."""
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        locale="en-GB",
        accept_downloads=True,
        **options,
    )
    return Visit(context.new_page(), address).watch()


def upload(name: str, content: bytes) -> Any:
    """A file as the browser takes it."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def jpeg(picture: Any) -> bytes:
    """Grey or RGB as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def photograph(side: int = 400) -> bytes:
    """A drawing like a photograph of a landscape: sky, hills and a sun, in colour."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    sky = np.stack([120 + 100 * rows, 170 + 60 * rows, 250 - 40 * rows], axis=-1)
    hills = rows > 0.6 + 0.1 * np.sin(9 * columns) + 0.03 * np.sin(31 * columns)
    sky[hills] = np.stack([60 + 60 * columns, 130 - 50 * rows, 40 + 20 * rows], axis=-1)[hills]
    sky[(rows - 0.25) ** 2 + (columns - 0.7) ** 2 < 0.008] = (255, 240, 160)
    return jpeg(np.clip(sky, 0, 255).astype(np.uint8))


def dicom(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The picture as an uncompressed DICOM of 12 bits."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("phantom.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    data.Modality, data.PhotometricInterpretation = "CR", "MONOCHROME2"
    data.Rows, data.Columns = picture.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelData = (picture.astype(np.uint16) << 4).tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
