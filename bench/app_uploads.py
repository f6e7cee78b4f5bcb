"""Files that `app_walk.py` gives to *Try it*, and what each has to be told; files taken from it.

A real photograph and a real brain scan come from `PNEUMOSCOPE_DATA`, else `../shared/data`
(`modality/other` and `modality/brain`): they are shown to the app and kept nowhere.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app_driver import dicom, jpeg, photograph
from pneumoscope.app.language import Language, spoken
from pneumoscope.app.pictures import png
from pneumoscope.app.words import common
from pneumoscope.data.phantoms import draw_phantom

ANSWERED = ("answer", "set", "abstain")
_MODALITY = {"en": "no chest radiograph (probability", "fr": "radiographie du thorax (probabilité"}
_A4 = (595, 842)
"""Points."""


@dataclass(frozen=True)
class Upload:
    """A file, and what is right for it.

    Attributes:
        name: Of the file.
        content: Its bytes.
        decisions: One of which it has to get.
        told: By language, words that the answer has to say.
        drawn: Whether pictures of its page may be kept.
    """

    name: str
    content: bytes
    decisions: tuple[str, ...]
    told: dict[Language, str]
    drawn: bool = True


def uploads() -> list[Upload]:
    """Good and bad files; real ones last."""
    chest = draw_phantom(seed=23, label="PNEUMONIA", size=1024)
    whole: dict[Language, str] = {"en": "", "fr": ""}
    cut: dict[Language, str] = {"en": "ends too early", "fr": "le fichier est tronqué"}
    large: dict[Language, str] = {"en": "20000 x 10000 pixels", "fr": "20000 \u00d7 10000 pixels"}
    other: dict[Language, str] = {"en": _MODALITY["en"], "fr": _MODALITY["fr"]}
    drawn = [
        Upload("chest.jpg", jpeg(chest), ANSWERED, whole),
        Upload("chest.dcm", dicom(chest), ANSWERED, whole),
        Upload("landscape.jpg", photograph(), ("refused",), other),
        Upload("truncated.png", png(chest)[:4000], ("unreadable",), cut),
        Upload("bomb.png", bomb(), ("unreadable",), large),
    ]
    real = [
        Upload(f"{kind}{path.suffix.lower()}", path.read_bytes(), ("refused",), other, drawn=False)
        for kind, path in real_files()
    ]
    return drawn + real


def real_files() -> Iterator[tuple[str, Path]]:
    """A photograph and a brain scan, where they are at hand."""
    named = os.environ.get("PNEUMOSCOPE_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    for kind, inside in (("photograph", "other"), ("brain", "brain")):
        place = folder / "modality" / inside
        files = sorted(path for path in place.glob("*.*") if path.suffix.lower() in _PICTURES)
        if files:
            yield kind, files[0]


_PICTURES = (".jpg", ".jpeg", ".png")


def bomb() -> bytes:
    """A PNG whose header alone promises 200 megapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        whole = kind + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def pdf_troubles(content: bytes, title: str, language: Language) -> list[str]:
    """What is wrong with the PDF of an answer: one page of A4, which says what the page says.

    Its words are asked of `pdftotext`, where it is installed.
    """
    found = []
    if not (content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")):
        found.append("is no whole PDF")
    if len(re.findall(rb"/Type /Page\b", content)) != 1:
        found.append("has not one page")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", content)
    if box is None or max(abs(float(n) - w) for n, w in zip(box.groups(), _A4, strict=True)) > 1:
        found.append("is not A4")
    if shutil.which("pdftotext"):
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(content)
            file.flush()
            told = subprocess.run(
                ["pdftotext", "-layout", file.name, "-"], capture_output=True, check=True
            ).stdout.decode()
        wanted = (title, spoken(common.NOTICE, language))
        found += [f"does not say {one!r}" for one in wanted if _plain(one) not in _plain(told)]
    return found


def json_troubles(content: bytes, title: str) -> list[str]:
    """What is wrong with the JSON of an answer."""
    told: dict[str, Any] = json.loads(content)
    missing = {"decision", "label", "probabilities", "gate", "model_id", "warnings"} - set(told)
    found = [f"has no {', '.join(sorted(missing))}"] if missing else []
    shares = told.get("probabilities") or {}
    if shares and abs(sum(shares.values()) - 1) > 1e-3:
        found.append("has probabilities that do not add up to 1")
    if told.get("decision") == "answer" and told.get("label") != title:
        found.append(f"answers {told.get('label')}, the page {title}")
    return found


def png_troubles(content: bytes) -> list[str]:
    """What is wrong with the picture of an answer."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    tall = pixels.shape[0] / pixels.shape[1]
    found = [] if abs(tall - 11.69 / 8.27) < 0.01 else [f"has sides of 1 to {tall:.2f}"]
    return found if int(np.ptp(pixels)) > 100 else [*found, "shows nothing"]


def _plain(text: str) -> str:
    return re.sub(r"[\s\u2019']+", "", text)
