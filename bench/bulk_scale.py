"""Bulk at scale: `python bench/bulk_scale.py COUNT FOLDER` answers COUNT JPEGs, prints JSON.

They are phantoms, a few hundred drawn and the others copies that differ in a comment.

Half lie in a tar, half in folders; every thousandth is damaged. `predict --parts` is killed once
in the middle and goes on; then every file has to be answered exactly once, and all copies of one
phantom alike. Before, the first of them (10,000, or a fifth) are answered without a kill, from a
list: the memory that COUNT takes is compared with what these took.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from answers import BACKBONES, bundle_of, median
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.data.phantoms import LABELS, draw_phantom

DRAWN, FIRST, BAD, IN_FOLDER = 300, 10_000, 1000, 1000
SAME = 1e-5
"""Probability by which copies of one phantom may differ: they are answered in other batches."""


@dataclass(frozen=True)
class Inputs:
    """What is answered.

    Attributes:
        paths: The tar and the folder.
        first: A list of the first files of the folder.
        names: What every answer is called, to the number of its file.
    """

    paths: tuple[Path, Path]
    first: Path
    names: dict[str, int]


@dataclass(frozen=True)
class Run:
    """One process of `predict --parts`.

    Attributes:
        seconds: It took.
        mib: Most memory it held.
        killed: Whether it was.
    """

    seconds: float
    mib: float
    killed: bool


def jpeg(seed: int) -> bytes:
    """A phantom of 224 x 224 pixels."""
    buffer = io.BytesIO()
    drawn = draw_phantom(seed=seed, label=LABELS[seed % 2])
    Image.fromarray(drawn).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def numbered(content: bytes, number: int) -> bytes:
    """The same picture as another file: its number in a comment after the start of the image."""
    note = f"{number:012}".encode()
    return content[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + content[2:]


def contents(drawn: list[bytes], numbers: range) -> Iterator[tuple[int, bytes]]:
    """Number and content of every file; every `BAD`th is cut short."""
    for number in numbers:
        content = numbered(drawn[number % len(drawn)], number)
        yield number, content[:40] if number % BAD == BAD - 1 else content


def write_inputs(count: int, folder: Path) -> Inputs:
    """A tar of the first half and a folder of the rest."""
    with Pool() as pool:
        drawn = pool.map(jpeg, range(min(DRAWN, count)), chunksize=10)
    names: dict[str, int] = {}
    archive, files = folder / "half.tar", folder / "files"
    with tarfile.open(archive, "w") as tar:
        for number, content in contents(drawn, range(count // 2)):
            member = tarfile.TarInfo(f"{number // IN_FOLDER:03}/{number:06}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            names[f"{archive.name}/{member.name}"] = number
    for number, content in contents(drawn, range(count // 2, count)):
        place = files / f"{number // IN_FOLDER:03}" / f"{number:06}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        names[str(place)] = number
    some = [name for name in names if not name.startswith(archive.name)][: first(count)]
    (folder / "first.csv").write_text("\n".join(["path", *some]) + "\n", encoding="utf8")
    return Inputs((archive, files), folder / "first.csv", names)


def first(count: int) -> int:
    """How many are answered alone."""
    return min(FIRST, count // 5)


def predict(
    bundle: Path, paths: tuple[Path, ...], parts: Path, shard: int, *, kill_at: int | None = None
) -> Run:
    """`predict --parts` in a process of its own, killed once it has written so many parts."""
    command = [sys.executable, "-m", "pneumoscope", "predict", str(bundle), *map(str, paths)]
    command += ["--parts", str(parts), "--shard-size", str(shard), "--json"]
    start, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, peak(process.pid))
            if kill_at is not None and len(list(parts.glob("part-*.parquet"))) >= kill_at:
                time.sleep(0.2)  # into the next part
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.1)
    killed = process.returncode == -signal.SIGKILL
    if process.returncode and not killed:
        raise SystemExit(f"predict --parts ended with {process.returncode}")
    return Run(time.perf_counter() - start, most, killed)


def peak(process: int) -> float:
    """MiB that a process held at most; `ru_maxrss` of a child would be at least its parent's."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return float(found[0]) / 2**10 if found else 0.0


def limit(bundle: Path) -> float:
    """Images per second of the graph alone, in batches of 32 canvases."""
    predictor = Predictor.open(bundle, runtime="fastest")
    side = predictor.preprocess.size
    pixels = np.zeros((32, 1, side, side), np.uint8)
    return 32_000 / median(lambda: predictor.infer(pixels), rounds=20)


def check(parts: Path, inputs: Inputs) -> dict[str, int]:
    """How many files have no answer, or several, or another than others of the same picture."""
    listed = json.loads((parts / "summary.json").read_text(encoding="utf8"))["parts"]
    table = pl.read_parquet([parts / name for name in listed])
    numbers = table["path"].replace_strict(inputs.names, default=None, return_dtype=pl.Int64)
    column = next(name for name in table.columns if name.startswith("probability:"))
    told = table.with_columns(numbers.alias("number"), (numbers % DRAWN).alias("drawn"))
    bad = told["number"] % BAD == BAD - 1
    alike = told.filter(~bad).group_by("drawn").agg(pl.col(column).max() - pl.col(column).min())
    return {
        "missing": len(set(inputs.names.values()) - set(told["number"].drop_nulls())),
        "strangers": told["number"].null_count(),
        "twice": told.height - told["path"].n_unique(),
        "wrongly unreadable": int(((told["decision"] == "unreadable") != bad).sum()),
        "answered otherwise": int((alike[column].fill_null(0) > SAME).sum()),
    }


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Everything, in order."""
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    inputs = write_inputs(count, folder)
    bundle = bundle_of(BACKBONES[0], folder)
    shard = max(20, min(2000, count // 20))
    before = limit(bundle)
    alone = predict(bundle, (inputs.first,), folder / "first", shard)
    half = -(-count // shard) // 2
    killed = predict(bundle, inputs.paths, folder / "parts", shard, kill_at=half)
    left = len(list((folder / "parts").glob("part-*.parquet"))) * shard
    rest = predict(bundle, inputs.paths, folder / "parts", shard)
    graph = (before + limit(bundle)) / 2
    summary = json.loads((folder / "parts" / "summary.json").read_text(encoding="utf8"))
    rate = summary["images_per_second"]
    return {
        "images": count, "killed": float(killed.killed), "answered before the kill": left,
        "answered again": summary["images"] - summary["skipped"] - (count - left),
        "images/s": rate, "images/s with start": (count - left) / rest.seconds,
        "graph limit": graph, "share of limit": rate / graph,
        "first": first(count), "first: images/s with start": first(count) / alone.seconds,
        "first: peak MiB": alone.mib, "peak MiB": max(killed.mib, rest.mib),
        "growth": max(killed.mib, rest.mib) / alone.mib - 1,
        "decisions": summary["decisions"], "runtime": summary["runtime"],
        "shift": (summary["shift"] or {}).get("statement"),
        **check(folder / "parts", inputs),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found = measure(given.count, given.folder.resolve())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
