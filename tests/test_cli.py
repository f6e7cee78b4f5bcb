from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pneumoscope._version import __version__
from pneumoscope.cli.main import app
from pneumoscope.workflows.results import TrainResult

COMMANDS = sorted(
    command.callback.__name__ for command in app.registered_commands if command.callback
)


def run(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it."""
    command = [sys.executable, "-m", "pneumoscope", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """As `run`, in this process: starting one takes longer than most commands."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return subprocess.CompletedProcess([], done.exit_code, done.stdout, done.stderr)


def test_the_commands_of_the_design_are_there() -> None:
    assert {"audit", "demo", "train", "evaluate", "predict"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f"Example: pneumoscope {name}" in done.stdout


def test_version_and_usage() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"pneumoscope {__version__}"
    assert CliRunner().invoke(app, ["predict"]).exit_code == 2
    assert CliRunner().invoke(app, ["train", "x", "--no-such-option"]).exit_code == 2
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("pneumoscope: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_predict_prints_json_lines_and_overlays(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for image in sorted((phantoms / "NORMAL").iterdir())[:5]:
        shutil.copy(image, folder)
    done = run("predict", trained.bundle, folder, "--json", "--saliency", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(list(folder.iterdir()))
    assert all(Path(row["saliency"]).is_file() for row in rows)
    assert {"path", "label", "decision", "reason", "label_set", "familiarity", "warnings",
            "gate_score", "milliseconds", "probability:NORMAL"} <= rows[0].keys()  # fmt: skip


def test_card_shows_what_the_bundle_says_of_itself(trained: TrainResult) -> None:
    told = (trained.bundle / "model_card.md").read_text(encoding="utf8")
    done = here("card", trained.bundle)
    assert done.stdout.startswith("# ")
    assert told.endswith(done.stdout)
    content = json.loads(here("card", trained.bundle, "--json").stdout)
    assert content["card"] == told
    assert content["labels"] == ["NORMAL", "PNEUMONIA"]
    assert "does not exist" in one_line(here("card", trained.bundle / "none"))


@pytest.mark.parametrize("name", ["answers.csv", "answers.parquet"])
def test_predict_writes_tables(
    trained: TrainResult, phantoms: Path, tmp_path: Path, name: str
) -> None:
    image = sorted((phantoms / "NORMAL").iterdir())[0]
    (tmp_path / "bad.png").write_bytes(b"x")
    done = here("predict", trained.bundle, image, tmp_path / "bad.png", "--output", tmp_path / name)
    assert done.returncode == 0, done.stderr
    read = pl.read_csv if name.endswith("csv") else pl.read_parquet
    table = read(tmp_path / name)
    assert (table["decision"] == "unreadable").to_list() == [False, True]
    assert "not a medical device" in done.stdout.lower()


def test_bad_input_is_one_line_with_the_remedy(trained: TrainResult, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "expected LABEL/" in one_line(run("train", tmp_path / "empty"))
    recipe = tmp_path / "r.yaml"
    recipe.write_text("modle: {}\n")
    assert "did you mean 'model'" in one_line(here("train", recipe))
    assert "does not exist" in one_line(here("train", tmp_path / "nothing"))
    assert "is not FIELD=VALUE" in one_line(here("train", tmp_path / "empty", "--set", "x"))
    bundle = Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[1000] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    assert "was changed" in one_line(here("predict", bundle, tmp_path))
    assert "allowed: .csv, .parquet" in one_line(
        here("predict", trained.bundle, tmp_path, "--output", tmp_path / "x.xlsx")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "empty", "r.yaml"]


def test_an_unwritable_output_is_said_before_the_work(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    line = one_line(here("train", phantoms, "--output", tmp_path / "file" / "run"))
    assert "cannot be written" in line
    assert "--output" in line


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_training_that_is_stopped_leaves_nothing(
    phantoms: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, "-m", "pneumoscope", "train", str(phantoms)]
    command += ["--output", str(tmp_path / "run"), "--set", "seed=77"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".run.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert not [path for path in tmp_path.iterdir() if "run" in path.name]


def test_an_interrupt_inside_an_import_is_one_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "import os, signal, sys\n"
        "import pneumoscope.cli\n"
        "from pneumoscope.cli.console import exit_on\n"
        "def run():\n"
        "    with exit_on(ValueError):\n"
        "        exec('os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(10**7): pass')\n"
        "cli = sys.modules['pneumoscope.cli.main']\n"
        "cli.app = run\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130, done.stderr


def test_models_lists_the_zoo() -> None:
    done = CliRunner().invoke(app, ["models", "--json"])
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    lite = next(row for row in rows if row["name"] == "EfficientNet-Lite0")
    assert lite["weights"] == "packaged"
    assert lite["licence"] == "apache-2.0"
    assert len(rows) >= 30


def test_show_augmentation_draws_and_trains_nothing(phantoms: Path, tmp_path: Path) -> None:
    picture = tmp_path / "views.png"
    done = CliRunner().invoke(app, ["train", str(phantoms), "--show-augmentation", str(picture)])
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [picture]
