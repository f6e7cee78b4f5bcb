"""Long measurements, printed as a table and written as JSON.

`make bench` or `python bench/run.py --data FOLDER --only NAME`. Machines are noisy: what is
compared is compared in one run, as a ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import Recipe, override

KERAS = Path(__file__).parents[1] / ".venv-keras" / "bin" / "python"
"""The environment that `make bench-keras` makes."""


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    measure: str
    value: float
    unit: str
    target: str = ""


def best(act: Callable[[], object], *, rounds: int = 5) -> float:
    """Seconds of the fastest of a few rounds, after one to warm up."""
    act()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return min(times)


def start_up(_: Path) -> list[Figure]:
    """CPU seconds of `import pneumoscope` and `pneumoscope --help` in new processes."""

    def cpu_seconds(*command: str) -> float:
        times = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return sorted(times)[2]

    return [
        Figure("import pneumoscope", cpu_seconds("-c", "import pneumoscope"), "s CPU", "< 0.4"),
        Figure("pneumoscope --help", cpu_seconds("-m", "pneumoscope", "--help"), "s CPU", "< 0.4"),
    ]


def main_job(data: Path) -> list[Figure]:
    """The whole path from an empty cache, and again from a full one."""
    from pneumoscope import train

    with tempfile.TemporaryDirectory() as folder:
        os.environ["PNEUMOSCOPE_CACHE"] = f"{folder}/cache"
        recipe = override(Recipe(), {"data.path": str(data)})
        cold = train(recipe, output=Path(folder) / "runs" / "cold")
        warm = train(recipe, output=Path(folder) / "runs" / "warm")
    auc = cold.metrics["auc"]
    assert isinstance(auc, dict)
    return [
        Figure("train, empty cache", cold.seconds, "s", "< 240"),
        Figure("train, full cache", warm.seconds, "s"),
        Figure("full over empty", warm.seconds / cold.seconds, "ratio"),
        Figure("test AUC", auc["value"], "area", ">= 0.985"),
        Figure("same metrics twice", float(cold.metrics == warm.metrics), "1 = yes", "1"),
    ]


def answers(data: Path) -> list[Figure]:
    """From file to label and saliency, in bulk, from a standing start; beside Keras `predict`."""
    found = script("answers", data)
    one = {
        f"{backbone}, {name}": value
        for backbone, times in found["one"].items()
        for name, value in times.items()
    }
    goals = {
        f"{backbone}{precision}, openvino, p50": goal
        for backbone, goal in (("MobileNetV3Large", "<= 6"), ("DenseNet121", "<= 12"))
        for precision in ("", ", bfloat16")
    }
    figures = [Figure(name, value, "ms", goals.get(name, "")) for name, value in one.items()]
    for precision, bulk in found["bulk"].items():
        share = bulk["bulk"] / bulk["graph limit"]
        figures += [
            Figure(f"bulk in {precision}, with decoding", bulk["bulk"], "images/s"),
            Figure(f"bulk in {precision} over the graph alone", share, "ratio", ">= 0.6"),
        ]
    figures.append(Figure("start to first answer", found["first answer"], "s", "< 3"))
    if not KERAS.exists():
        print(f"answers are not compared: {KERAS} is not there (make bench-keras)")
        return figures
    keras = script("keras_recipe", data, "answers", python=str(KERAS))
    alone, rate = (keras[f"MobileNetV3Large predict {what}"] for what in ("one", "rate"))
    figures += [
        Figure("Keras predict of one array", alone, "ms"),
        Figure("Keras predict in batches of 32", rate, "images/s"),
    ]
    for precision, bulk in found["bulk"].items():
        name = "MobileNetV3Large" + ("" if precision == "float32" else f", {precision}")
        own = one[f"{name}, openvino, p50"]
        figures += [
            Figure(f"Keras over own, {precision}: one", alone / own, "x", ">= 10"),
            Figure(f"own over Keras, {precision}: bulk", bulk["bulk"] / rate, "x", ">= 3"),
        ]
    return figures


def intervals(_: Path) -> list[Figure]:
    """All metrics of 10,000 images with 2,000 patient-level resamples."""
    from pneumoscope.evaluation.predictions import predictions_table
    from pneumoscope.evaluation.summary import evaluate_predictions

    rng = np.random.default_rng(0)
    ids = [f"{i:016x}" for i in range(10_000)]
    truth = rng.integers(0, 2, len(ids))
    logits = rng.normal(0, 1, (len(ids), 2)) + np.eye(2)[truth]
    table = predictions_table(
        image_ids=ids,
        patient_ids=[f"p{i // 2}" for i in range(len(ids))],
        truth=["AB"[t] for t in truth],
        logits=dict(zip(ids, logits, strict=True)),
        temperature=1.0,
        labels=("A", "B"),
    )

    def measure() -> object:
        return evaluate_predictions(
            table, resamples=2000, confidence_level=0.95, seed=0, split="test", bundle="", data=""
        )

    return [Figure("2,000 resamples of 10,000 images", best(measure, rounds=3), "s", "< 5")]


def phantoms(_: Path) -> list[Figure]:
    """Drawing speed."""
    from pneumoscope.data.phantoms import draw_phantom

    seconds = best(lambda: draw_phantom(seed=1, label="PNEUMONIA"), rounds=20)
    return [Figure("drawing one phantom", seconds * 1000, "ms")]


def script(name: str, *arguments: object, python: str = sys.executable) -> dict[str, Any]:
    """What a script beside this one prints as its last line, run in a process of its own."""
    path = str(Path(__file__).with_name(f"{name}.py"))
    done = subprocess.run(
        [python, path, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def training(data: Path) -> list[Figure]:
    """Against the usual Keras recipe: the same images, network and machine, one after another."""
    if not KERAS.exists():
        print(f"training is not compared: {KERAS} is not there (make bench-keras)")
        return []
    keras = script("keras_recipe", data, python=str(KERAS))
    own = {
        name: script("training", data, name) for name in ("probe", "partial", "full", "densenet")
    }
    probe, partial, full, dense = own.values()
    frozen, last, whole, dense_rate = (
        keras[name]
        for name in (
            "MobileNetV3Large none",
            "MobileNetV3Large last 30",
            "MobileNetV3Large all",
            "DenseNet121 all",
        )
    )
    epoch = partial["images"] / last
    rows = [
        ("probe, 10 epochs, reading included", 10 * probe["images"] / frozen / probe["whole"], 10),
        ("last two stages, an epoch once cached", epoch / partial["epoch"], 5),
        ("last two stages, 10 epochs with all", 10 * epoch / partial["whole"], 3),
        ("all stages, an epoch", full["images"] / full["epoch"] / whole, 2.5),
        ("DenseNet121 all stages", dense["images"] / dense["epoch"] / dense_rate, 2.5),
    ]
    rates = [
        Figure(f"Keras: {name}", value, "") for name, value in keras.items() if name != "tensorflow"
    ]
    times = [
        Figure(f"own {name}: {part}", value, "s" if part in _SECONDS else "")
        for name, found in own.items()
        for part, value in found.items()
    ]
    ratios = [
        Figure(f"Keras over own: {name}", value, "x", f">= {goal}") for name, value, goal in rows
    ]
    return [*rates, *times, *ratios]


_SECONDS = ("reading", "preparing", "epoch", "whole")


def quality(data: Path) -> list[Figure]:
    """Fine-tuning from cached activations beside not caching, and beside the probe."""
    found = script("training", data, "quality")
    figures = [
        Figure(
            f"{way}: test AUC",
            found[way]["value"],
            f"{found[way]['low']:.4f} to {found[way]['high']:.4f}",
        )
        for way in ("probe", "cached", "not cached")
    ]
    for other, gap in found["differences"].items():
        goal = "> -0.003" if other == "not cached" else "> 0"
        between = f"{gap['low']:.4f} to {gap['high']:.4f}"
        figures.append(Figure(f"cached less {other}: AUC", gap["value"], between, goal))
    return figures


def assessment(data: Path) -> list[Figure]:
    """An evaluation of about 4,000 images with everything on."""
    found = script("assessment", data)
    goals = {"beyond the networks": "< 180", "differences": "0", "images": "~ 4,000"}
    units = {"images": "", "differences": "", "peak GiB": "GiB"}
    return [
        Figure(f"evaluation: {name}", value, units.get(name, "s"), goals.get(name, ""))
        for name, value in found.items()
    ]


def gate(data: Path) -> list[Figure]:
    """What the gate refuses, warns of and marks, on real pictures, and what it costs."""
    found = script("gate", data)
    goals = {
        ("chest_xray test", "unfamiliar"): "<= 0.02",
        ("radiography COVID", "unfamiliar"): ">= 0.8",
    }
    figures = [
        Figure(f"{name}: {what}", rate["value"], f"{rate['low']:.3f} to {rate['high']:.3f}",
               goals.get((name, what), "<= 0.01" if what != "unfamiliar" else ""))
        for name, rates in found["bundle"].items()
        for what, rate in rates.items()
    ]  # fmt: skip
    modality = found["network"]["modality"]
    between = f"{modality['low']:.3f} to {modality['high']:.3f}"
    times = found["ms"]
    return [
        Figure("modality: balanced accuracy", modality["balanced_accuracy"], between, ">= 0.995"),
        *figures,
        Figure("gate, one image", times["with"] - times["without"], "ms", "<= 1.5"),
    ]


def kills(_: Path) -> list[Figure]:
    """Trainings killed at random moments that go on."""
    with tempfile.TemporaryDirectory() as folder:
        found = script("kills", folder)
    return [
        Figure("SIGKILLs", found["kills"], "", ">= 20"),
        Figure("same weights and metrics", found["same bits"], "1 = yes", "1"),
    ]


def scale(_: Path) -> list[Figure]:
    """The audit of 10,000 and of 100,000 images."""
    figures = []
    for count in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            found = script("scale", count, folder)
        figures += [
            Figure(f"audit of {count:,}", found["seconds"], "s"),
            Figure(f"audit of {count:,}", found["gib"], "GiB"),
            Figure(f"audit of {count:,}: pairs of copies", found["pairs"], f"of {found['copies']}"),
        ]
    times = figures[3].value / figures[0].value
    return [*figures, Figure("ten times the images", times, "x the time", "~ 10")]


def bulk(_: Path) -> list[Figure]:
    """100,000 files answered into parts, killed once."""
    with tempfile.TemporaryDirectory() as folder:
        found = script("bulk_scale", 100_000, folder)
    wrong = ("missing", "strangers", "twice", "wrongly unreadable", "answered otherwise")
    return [
        Figure("bulk of 100,000, killed once", found["images/s"], "images/s"),
        Figure("bulk over the graph alone", found["share of limit"], "ratio", ">= 0.6"),
        Figure(f"peak of {found['first']:,}", found["first: peak MiB"], "MiB"),
        Figure("peak of 100,000", found["peak MiB"], "MiB"),
        Figure("answered before the kill", found["answered before the kill"], "files"),
        Figure("answered again, finished before", found["answered again"], "files", "0"),
        *(Figure(f"files {name}", found[name], "", "0") for name in wrong),
    ]


def serving(_: Path) -> list[Figure]:
    """The HTTP service: latency, load, more than it can do, and an end under load."""
    found = script("serving")
    work, end = found["load"], found["killed"]
    times = [Figure(name, value, "ms") for name, value in found["latencies"].items()]
    return [
        Figure("start to first answer", found["start"], "s", "< 3"),
        *times,
        Figure("capacity", work["capacity"], "images/s"),
        Figure("80 %: p50", work["p50"], "ms"),
        Figure("80 %: p99", work["p99"], "ms", "< 250"),
        Figure("80 %: errors", work["errors"], f"of {work['answered']}", "0"),
        Figure("80 %: wrong answers", work["wrong"], "", "0"),
        Figure("80 %: growth of memory", 100 * work["growth"], "%", "< 5"),
        Figure("300 %: answered", work["rush answered"], ""),
        Figure("300 %: turned away (429)", work["rush turned away"], ""),
        Figure("300 %: anything else", work["rush others"], "", "0"),
        Figure("300 %: wrong answers", work["rush wrong"], "", "0"),
        Figure("SIGTERM: accepted and lost", end["lost"], f"of {end['accepted']}", "0"),
        Figure("SIGTERM: exit status", end["status"], "", "0"),
    ]


def hostile(_: Path) -> list[Figure]:
    """Uploads made to do harm."""
    found = script("hostile")
    fuzzed = found["schemathesis"]
    figures = [
        Figure("hostile uploads", found["uploads"], f"in {found['seconds']:.0f} s"),
        Figure("answered with 5xx", found["failures"], "", "0"),
        Figure("not answered", found["silent"], "", "0"),
        Figure("slowest answer", found["slowest"], "s", "< 20"),
        Figure("growth of memory", 100 * found["growth"], "%", "< 5"),
        Figure("an honest image still right", float(found["still right"]), "1 = yes", "1"),
    ]
    if fuzzed is not None:
        cases = f"of {fuzzed['cases']}"
        figures.append(Figure("schemathesis: failures", fuzzed["failures"], cases, "0"))
    return figures


def transfer(data: Path) -> list[Figure]:
    """What the champion's candidates make of images that are unlike those they learnt from."""
    return [
        Figure(f"AUC, {question}: {name}", told["auc"], f"{told['low']:.3f} to {told['high']:.3f}")
        for question, candidates in script("transfer", data).items()
        for name, told in candidates.items()
    ]


MEASURES = (
    start_up,
    intervals,
    phantoms,
    answers,
    main_job,
    training,
    quality,
    assessment,
    gate,
    kills,
    scale,
    bulk,
    serving,
    hostile,
)
ALONE = (transfer,)
"""Two hours or more: measured only where they are named."""
NEEDS_DATA = (main_job, training, quality, assessment, gate, transfer)


def main() -> None:
    """Run the measures asked for."""
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    named = os.environ.get("PNEUMOSCOPE_DATA", str(root.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(named) / "chest_xray")
    parser.add_argument("--only", choices=[measure.__name__ for measure in (*MEASURES, *ALONE)])
    given = parser.parse_args()
    figures: list[Figure] = []
    wanted = [one for one in (*MEASURES, *ALONE) if one.__name__ == given.only] or MEASURES
    for measure in wanted:
        if measure in NEEDS_DATA and not given.data.is_dir():
            print(f"{measure.__name__} skipped: {given.data} does not exist (--data FOLDER)")
            continue
        for figure in measure(given.data):
            print(f"{figure.measure:45} {figure.value:10.3f} {figure.unit:10} {figure.target}")
            figures.append(figure)
    content = {"figures": [asdict(figure) for figure in figures], **provenance()}
    name = f"bench-{given.only}.json" if given.only else "bench.json"
    output = root / "bench" / "output" / name
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(content, indent=2), encoding="utf8")
    print(f"written to {output.relative_to(root)}")


if __name__ == "__main__":
    main()
