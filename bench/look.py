"""MLflow's own pages as pictures: `python bench/look.py RUNS FOLDER` needs Chromium.

RUNS holds `mlflow.db`, as train, benchmark and tune leave it. A server of MLflow's is started on
loopback; the experiment, a run of every kind, its artifacts, and every registered model are drawn
into FOLDER; where event files are found below RUNS, TensorBoard's pages too. To be looked at: that
the data are there is a test's work (`tests/test_tracking_pages.py`).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
KINDS = ("benchmark", "tune", "train", "trial")
BOARDS = ("timeseries", "images", "graphs", "pr_curves", "projector", "text", "pytorch_profiler")


def browser() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(f"look: no browser ({', '.join(BROWSERS)}). Install chromium.")
    return found


def draw(url: str, file: Path, *, size: str = "1900,1200", milliseconds: int = 40000) -> None:
    """Write a picture of the page, as it looks after a while."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser(), *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}",
            f"--virtual-time-budget={milliseconds}", f"--screenshot={file}", url,
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=180)
    print(file)


@contextmanager
def serving(*command: str, path: str = "") -> Iterator[str]:
    """The address of a server on loopback; `{port}` in its command is a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", *(part.format(port=port) for part in command)],
        env={**os.environ, **quiet, "PATH": place},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait(f"{address}{path}")
        yield address
    finally:
        process.terminate()
        process.wait()


def wait(url: str) -> None:
    """Until it answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit(f"look: {url} does not answer.")


def mlflow_pages(client: Any) -> Iterator[tuple[str, str]]:
    """Name and address, from `#` on, of every page to be drawn."""
    for number, experiment in enumerate(client.search_experiments()):
        runs = client.search_runs([experiment.experiment_id])
        if not runs:
            continue
        place = f"experiments/{experiment.experiment_id}"
        yield f"experiment-{number}", f"{place}/runs"
        for kind in KINDS:
            of_kind = [run for run in runs if run.data.tags.get("pneumoscope.kind") == kind]
            finished = [run for run in of_kind if run.info.status == "FINISHED"]
            for run in finished[:1]:
                at = f"{place}/runs/{run.info.run_id}"
                yield f"{kind}-{number}", at
                yield f"{kind}-{number}-metrics", f"{at}/model-metrics"
                yield from artifacts(client, run, kind, number, at)
    for model in client.search_registered_models():
        yield f"model-{model.name}", f"models/{quote(model.name)}"
        for version in client.search_model_versions(f"name = '{model.name}'"):
            at = f"models/{quote(model.name)}/versions/{version.version}"
            yield f"model-{model.name}-{version.version}", at


def artifacts(client: Any, run: Any, kind: str, number: int, at: str) -> Iterator[tuple[str, str]]:
    """The pages of what a person would open first."""
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    wanted = [name for name in ("benchmark.html", "tune.html", "report.html") if name in names]
    figures = client.list_artifacts(run.info.run_id, "figures") if "figures" in names else []
    wanted += [item.path for item in figures[:1]]
    for name in wanted:
        yield f"{kind}-{number}-{Path(name).stem}", f"{at}/artifacts/{name}"


def look(runs: Path, folder: Path, only: Sequence[str]) -> None:
    """Draw everything, or what begins with one of the names."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{(runs / 'mlflow.db').resolve()}"
    folder.mkdir(parents=True, exist_ok=True)
    server = ("mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1",
              "--backend-store-uri", uri)  # fmt: skip
    with serving(*server, path="/health") as address:
        for name, page in mlflow_pages(MlflowClient(tracking_uri=uri)):
            if not only or name.startswith(tuple(only)):
                draw(f"{address}/#/{page}", folder / f"{name}.png")
    if any(runs.glob("*/tensorboard")):
        board = ("tensorboard.main", "--logdir", str(runs), "--host", "127.0.0.1", "--port",
                 "{port}")  # fmt: skip
        with serving(*board, path="/data/runs") as address:
            for name in BOARDS:
                if not only or f"board-{name}".startswith(tuple(only)):
                    draw(f"{address}/#{name}", folder / f"board-{name}.png")


if __name__ == "__main__":
    look(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
