"""Uploads made to do harm: `python bench/hostile.py [--bundle B] [--count N]`, prints JSON.

Mutated JPEG, PNG and DICOM, bombs, other kinds of files, and bodies that are hardly multipart;
then whatever schemathesis makes of the OpenAPI description. No answer may be a 500, none may
hang, memory may not grow, and an honest image still gets its own answer afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.data.phantoms import draw_phantom
from serving import checker, jpegs, make_bundle
from traffic import BOUNDARY, CONTENT_TYPE, Client, Server, request, serving, upload

CLIENTS, PATIENCE = 8, 40.0
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
OPTIONS = ("--max-queue", 64, "--decode-seconds", 5, "--deadline", 20)


def dicom(pixels: Any, *, codestream: bytes | None = None) -> bytes:
    """A DICOM of grey levels, raw or JPEG 2000."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    syntax = uid.JPEG2000Lossless if codestream else uid.ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID, dataset.PatientName = "1.2.3", "Doe^Jane"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = encapsulate([codestream]) if codestream else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if codestream else "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def encoded(pixels: Any, kind: str, **options: Any) -> bytes:
    """Pixels as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    """Honest files to start from, the quick ones several times."""
    pixels = draw_phantom(seed=3, label="PNEUMONIA", size=96)
    deep = pixels.astype(np.uint16) << 4
    quick = [
        encoded(pixels, "JPEG"), encoded(pixels, "JPEG", progressive=True), encoded(pixels, "PNG"),
        encoded(deep, "PNG"), encoded(np.stack([pixels] * 3, -1), "PNG"), dicom(deep),
        dicom(pixels),
    ]  # fmt: skip
    return quick * 5 + [dicom(pixels, codestream=encoded(pixels, "JPEG2000", no_jp2=True))]


def bombs() -> list[bytes]:
    """Small files that promise much, or are something else."""
    rows = zlib.compress(bytes(30_001 * 2000), 9)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    def png(width: int, height: int) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)

    return [
        png(30_000, 30_000), png(6000, 6000), png(30_000, 800), png(2**31 - 1, 1), png(0, 0),
        b"", b"\0", b"GIF89a" + bytes(99), b"%PDF-1.7", b"PK\3\4" + bytes(99), b"<svg/>" * 9,
        b"\x80\x04\x95" + bytes(99), bytes(128) + b"DICM", bytes(2**20), b"\xff\xd8\xff" * 2**16,
        b"II*\0" + bytes(99), b"BM" + bytes(99), b"../../etc/passwd", b"\xff\xda" * 2**16,
    ]  # fmt: skip


def mutated(content: bytes, dice: random.Random) -> bytes:
    """The file with some harm done to it."""
    changed = bytearray(content)
    how = dice.randrange(6)
    if how == 0:
        return content[: dice.randrange(len(content))]
    if how == 1:
        start, end = sorted(dice.randrange(len(content)) for _ in range(2))
        return content[:start] + content[end:]
    if how == 2:
        start = dice.randrange(len(content))
        return content[:start] + dice.randbytes(dice.randrange(1, 400)) + content[start:]
    early = dice.random() < 0.6
    for _ in range(dice.choice((1, 2, 8, 64))):
        at = dice.randrange(min(len(changed), 600) if early else len(changed))
        changed[at] = dice.choice((0, 255, dice.randrange(256), changed[at] ^ (1 << how)))
    return bytes(changed)


def odd_body(body: bytes, dice: random.Random) -> tuple[bytes, bytes]:
    """Body and content type of something that is hardly multipart."""
    kinds = (
        CONTENT_TYPE, b"multipart/form-data", b"multipart/form-data; boundary=", b"text/plain",
        b"multipart/form-data; boundary=" + b"x" * 300, b"multipart/mixed; boundary=" + BOUNDARY,
        b'multipart/form-data; boundary="' + BOUNDARY + b'"; charset=utf-8', b"\xff\xfe",
    )  # fmt: skip
    marks = (b"\r\n", b"--" + BOUNDARY, b"Content-Disposition", b"images", b'"', b"\r\n\r\n")
    mark = dice.choice(marks)
    changed = body.replace(mark, dice.choice((b"", mark * 2, mark[:-1], b"\0", b"\n")), 1)
    return dice.choice((changed, mutated(body, dice))), dice.choice((CONTENT_TYPE, *kinds))


def messages(count: int) -> list[bytes]:
    """Requests to send, the same every time."""
    dice, files, traps = random.Random(0), seeds(), bombs()
    found = []
    for number in range(count):
        query = dice.choice((b"", b"", b"?saliency=png", b"?confidence=0.8", b"?confidence=%ff"))
        contents = [mutated(dice.choice(files), dice) for _ in range(dice.choice((1, 1, 1, 2)))]
        if number % 50 == 0:
            contents = [dice.choice(traps), *contents]
        body = upload(*contents)
        body, kind = odd_body(body, dice) if number % 10 == 9 else (body, CONTENT_TYPE)
        found.append(request(body, query=query, kind=kind))
    return found


async def attack(port: int, sent: list[bytes]) -> tuple[Counter[int], list[float], int]:
    """Statuses, seconds of each, and how many got no answer."""
    statuses: Counter[int] = Counter()
    times: list[float] = []
    silent = 0
    waiting = iter(sent)

    async def one() -> None:
        nonlocal silent
        client = Client(port)
        for message in waiting:
            start = time.perf_counter()
            try:
                status, _ = await asyncio.wait_for(client.ask(message), PATIENCE)
                statuses[status] += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                silent += 1
                client.close()
            times.append(time.perf_counter() - start)
        client.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return statuses, times, silent


def described(port: int) -> dict[str, int] | None:
    """Cases that schemathesis makes, and those answered otherwise than described."""
    if util.find_spec("schemathesis") is None:
        return None
    address = f"http://127.0.0.1:{port}/openapi.json"
    options = ["--checks", CHECKS, "--max-examples", "60", "--seed", "1", "--no-color"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", address, *options]
    with tempfile.TemporaryDirectory() as folder:  # it keeps what it found where it runs
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=folder
        )
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    if not cases:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return {"cases": int(cases[1]), "failures": int(cases[1]) - int(cases[2])}


def assault(server: Server, count: int) -> dict[str, Any]:
    """Everything, and what it did to the service."""
    sent = messages(count)
    # Fills pools and caches, and what an allocator keeps after the largest images.
    large = [request(upload(bomb), query=b"?saliency=png") for bomb in bombs()]
    asyncio.run(attack(server.port, [*sent[: count // 5], *large * 4]))
    before = server.mebibytes()
    start = time.perf_counter()
    statuses, times, silent = asyncio.run(attack(server.port, sent))
    took = time.perf_counter() - start
    after = server.mebibytes()
    return {
        "uploads": count, "seconds": took, "silent": silent, "slowest": max(times),
        "failures": sum(many for status, many in statuses.items() if status >= 500),
        "statuses": {str(status): many for status, many in sorted(statuses.items())},
        "growth": after / before - 1, "mebibytes": after, "schemathesis": described(server.port),
    }  # fmt: skip


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = given.bundle or make_bundle(folder)
        images = jpegs()[:2]
        check = checker(Predictor.open(bundle), images)
        with serving(bundle, folder / "log", *OPTIONS) as server:
            found = assault(server, given.count)
            status, body = asyncio.run(Client(server.port).ask(request(upload(images[1]))))
            found["still right"] = status == 200 and check(1, body)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
