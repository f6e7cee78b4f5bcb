"""The service under load: `python bench/serving.py [--bundle B] [--seconds N]`, prints JSON.

Client and service share the processors, so what is measured is what both can do together.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.data.phantoms import draw_phantom, write_phantoms
from traffic import Check, Client, Seen, load, request, serving, upload

IMAGES, CLIENTS, CROWD = 16, 32, 160
LABELS = ("NORMAL", "PNEUMONIA")


def make_bundle(folder: Path) -> Path:
    """A bundle trained on phantoms under the default recipe."""
    from pneumoscope import train
    from pneumoscope.core.recipe import Recipe, override

    write_phantoms(folder / "data", patients=60, seed=0)
    changes = {"data.path": str(folder / "data"), "tracking.enabled": False, "phases.0.views": 1}
    return Path(train(override(Recipe(), changes), output=folder / "run").bundle)


def jpegs() -> list[bytes]:
    """Phantoms of 224 x 224 pixels."""
    found = []
    for seed in range(IMAGES):
        buffer = io.BytesIO()
        Image.fromarray(draw_phantom(seed=seed, label=LABELS[seed % 2])).save(
            buffer, format="JPEG", quality=90
        )
        found.append(buffer.getvalue())
    return found


def checker(predictor: Predictor, images: list[bytes]) -> Check:
    """Whether an answer is the one the predictor itself gives, to 1e-6."""
    known = [predictor.predict(image).probabilities for image in images]

    def check(number: int, body: bytes) -> bool:
        said = json.loads(body)["results"][0]["probabilities"]
        pairs = zip(said.values(), known[number].values(), strict=True)
        return all(abs(left - right) <= 1e-6 for left, right in pairs)

    return check


async def one_by_one(port: int, messages: list[bytes], count: int) -> Seen:
    """What a single client sees."""
    seen, client = Seen(), Client(port)
    for number in range(count):
        start = time.perf_counter()
        await client.ask(messages[number % len(messages)])
        seen.seconds.append(time.perf_counter() - start)
    client.close()
    return seen


def latencies(predictor: Predictor, images: list[bytes], port: int) -> dict[str, float]:
    """One image at a time, in this process and over HTTP."""
    own = Seen()
    for number in range(250):
        start = time.perf_counter()
        predictor.predict(images[number % IMAGES], saliency=True)
        own.seconds.append(time.perf_counter() - start)
    plain = [request(upload(image)) for image in images]
    drawn = [request(upload(image), query=b"?saliency=png") for image in images]
    found = {"in process, label and saliency: p50": own.percentile(50)}
    for name, messages in (("label", plain), ("label and saliency picture", drawn)):
        seen = asyncio.run(one_by_one(port, messages, 250))
        found |= {f"HTTP, {name}: p50": seen.percentile(50)}
    return found


def under_load(
    bundle: Path, images: list[bytes], check: Check, seconds: float, folder: Path
) -> dict[str, Any]:
    """At 80 % and 300 % of what it can do."""
    messages = [request(upload(image)) for image in images]
    with serving(bundle, folder / "load.log") as server:
        # The first seconds fill caches and pools; they are not measured.
        asyncio.run(load(server.port, messages, check, clients=16, seconds=5))
        full = asyncio.run(load(server.port, messages, check, clients=16, seconds=6))
        capacity = full.answered / 6
        pace = 0.8 * capacity
        asyncio.run(load(server.port, messages, check, clients=CLIENTS, seconds=6, rate=pace))
        before = server.mebibytes()
        steady = asyncio.run(
            load(
                server.port, messages, check, clients=CLIENTS, seconds=seconds, rate=0.8 * capacity
            )
        )
        after = server.mebibytes()
        rush = asyncio.run(
            load(server.port, messages, check, clients=CROWD, seconds=max(5, seconds / 4),
                 rate=3 * capacity)
        )  # fmt: skip
    return {
        "capacity": capacity, "p50": steady.percentile(50), "p99": steady.percentile(99),
        "errors": steady.others + steady.statuses.get(429, 0), "wrong": steady.wrong,
        "answered": steady.answered, "growth": after / before - 1, "mebibytes": after,
        "rush answered": rush.answered, "rush turned away": rush.statuses.get(429, 0),
        "rush others": rush.others, "rush wrong": rush.wrong, "rush p99": rush.percentile(99),
    }  # fmt: skip


async def until_killed(port: int, pid: int, messages: list[bytes], check: Check) -> Seen:
    """What 32 clients see of a service that is told to stop."""
    asyncio.get_running_loop().call_later(2.0, os.kill, pid, signal.SIGTERM)
    return await load(port, messages, check, clients=CLIENTS, seconds=30, quit_when_gone=True)


def killed(bundle: Path, images: list[bytes], check: Check, folder: Path) -> dict[str, Any]:
    """SIGTERM under load: everything accepted has to be answered, and every answer to arrive."""
    messages = [request(upload(image)) for image in images]
    with serving(bundle, folder / "kill.log") as server:
        seen = asyncio.run(until_killed(server.port, server.popen.pid, messages, check))
        status = server.popen.wait(60)
        said = server.stopped()
    lost = said.get("accepted", -1) - seen.answered
    return {"lost": lost, "accepted": said.get("accepted"), "wrong": seen.wrong, "status": status}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = given.bundle or make_bundle(folder)
        images = jpegs()
        predictor = Predictor.open(bundle)
        check = checker(predictor, images)
        with serving(bundle, folder / "one.log") as server:
            first = time.perf_counter()
            asyncio.run(one_by_one(server.port, [request(upload(images[0]))], 1))
            found: dict[str, Any] = {"start": server.seconds + time.perf_counter() - first}
            found["latencies"] = latencies(predictor, images, server.port)
        found["load"] = under_load(bundle, images, check, given.seconds, folder)
        found["killed"] = killed(bundle, images, check, folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
