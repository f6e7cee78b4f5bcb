"""Runs a set-up: the commands of its plan in turn, each once.

`make recipe NAME=modality`, or `python recipes/run_plan.py modality --data ../shared/data --quick`.
`recipes/NAME/plan.yaml` holds the commands; `plan.json` beside the outputs says how each went. The
same command goes on after an interrupt: what is finished is not done again. It is written before a
command runs, so that a command which outlives this one (a kill that cannot be caught) is known as
this plan's when it has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from pneumoscope.core.errors import PneumoscopeError, RecipeError, TrainingError, WeightsError
from pneumoscope.core.files import write_text
from pneumoscope.core.provenance import provenance

HERE = Path(__file__).parent
RECORD = "plan.json"
WHOLE = {
    "audit": "audit.json",
    "compare": "comparison.json",
    "evaluate": "metrics.json",
    "segment": "lungs.csv",
    "train": "metrics.json",
}
"""What is in the output of a command that has ended well, by command: of those that move it into
place as a whole, and refuse one that is there. The others go on, or write over it."""
_ALONE = "its command outlived the plan's, so its seconds are not known"
Run = Callable[[Sequence[str]], int]
"""Takes the words after `pneumoscope`; its exit status."""


@dataclass(frozen=True)
class Step:
    """One command of a plan.

    Attributes:
        name: Unique in the plan.
        run: The command after `pneumoscope`, with `$data`, `$output`, `$here` and `$quick`.
        weights: The backbone whose ImageNet weights it needs; without them it is skipped.
    """

    name: str
    run: str
    weights: str | None = None

    @property
    def output(self) -> str | None:
        """What it writes, inside the plan's output; None where it writes nothing there."""
        written = [word for word in shlex.split(self.run) if word.startswith("$output/")]
        return written[-1].removeprefix("$output/") if written else None

    def words(self, places: Mapping[str, str]) -> list[str]:
        """The command's words, everything filled in."""
        filled = (Template(word).substitute(places) for word in shlex.split(self.run))
        return [word for word in filled if word]

    def shown(self, *, here: str, quick: bool) -> str:
        """The command as it is recorded: whose folders they were is nobody's business."""
        told = {"data": "DATA", "output": "OUTPUT", "here": here, "quick": _flag(quick)}
        return shlex.join(["pneumoscope", *self.words(told)])


def load_plan(folder: Path) -> tuple[Step, ...]:
    """The steps in `plan.yaml`, in order.

    Raises:
        RecipeError: there is no plan, or a step is no mapping of `run` and perhaps `weights`.
    """
    file = folder / "plan.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.parent.name for path in HERE.glob("*/plan.yaml")))
        raise RecipeError(f"{file}: does not exist. Name one of {known}.")
    content = yaml.safe_load(file.read_text(encoding="utf8"))
    try:
        return tuple(Step(name, **fields) for name, fields in content.items())
    except (AttributeError, TypeError) as error:
        raise RecipeError(f"{file}: a step is `NAME: {{run: ..., weights: ...}}`.") from error


def run_plan(
    folder: Path, *, data: Path, output: Path, quick: bool, only: str | None, run: Run
) -> dict[str, Any]:
    """Run what is not finished; the content of `plan.json`.

    Args:
        folder: Of the plan.
        data: Holds the data folders that the plan names.
        output: The folder to write, or to go on in.
        quick: A small but complete pass of every command.
        only: The name of the one step to run; None runs all.
        run: Runs a command.

    Raises:
        RecipeError: no such plan or step, or `output` holds a run of other commands.
        TrainingError: a command ended with another status than 0.
    """
    steps = [step for step in load_plan(folder) if only in (None, step.name)]
    if not steps:
        raise RecipeError(f"--only {only}: the plan {folder.name} has no such step.")
    content = _begun(output / RECORD, {"set_up": folder.name, "quick": quick, "steps": {}})
    places = {"data": str(data), "output": str(output), "here": str(folder), "quick": _flag(quick)}
    for step in steps:
        before = content["steps"].get(step.name, {})
        shown = step.shown(here=f"recipes/{folder.name}", quick=quick)
        if before and before["command"] != shown:
            raise RecipeError(f"{output}: holds {step.name} of another command. Remove it.")
        if _ended_alone(step, before, output):
            before |= {"status": "finished", "reason": _ALONE}
            _keep(content, output)
        if before.get("status") == "finished":
            print(f"{step.name}: finished before.", flush=True)
            continue
        print(f"{step.name}: {shown}", flush=True)
        record = {"command": shown, **_account(step, before, there=_is_whole(step, output))}
        content["steps"][step.name] = record
        _keep(content, output)
        try:
            _carry_out(step, step.words(places), record, run)
        finally:
            _keep(content, output)
        if record["status"] == "failed":
            raise TrainingError(f"{step.name}: ended with {record['reason']}. The same goes on.")
    return content


def _begun(file: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    if not file.is_file():
        return fresh
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
    if any(content[name] != fresh[name] for name in ("set_up", "quick")):
        raise RecipeError(f"{file.parent}: holds another set-up. Give another --output.")
    return content


def _keep(content: Mapping[str, Any], output: Path) -> None:
    write_text(output / RECORD, json.dumps(content, indent=2) + "\n")


def _ended_alone(step: Step, before: Mapping[str, Any], output: Path) -> bool:
    """Whether the command has ended well since an attempt of this plan that did not say so.

    What was there before the first attempt is not the plan's: its command refuses it, and says so.
    """
    begun = before.get("status") in ("interrupted", "failed")
    return begun and not before.get("output_was_there") and _is_whole(step, output)


def _is_whole(step: Step, output: Path) -> bool:
    file, written = WHOLE.get(step.run.split()[0]), step.output
    return file is not None and written is not None and (output / written / file).is_file()


def _account(step: Step, before: Mapping[str, Any], *, there: bool) -> dict[str, Any]:
    """What is known before a command runs; seconds of interrupted attempts count."""
    return {
        "status": "interrupted",
        "reason": None,
        "seconds": before.get("seconds", 0.0),
        "attempts": before.get("attempts", 0) + 1,
        "output": step.output,
        "output_was_there": there,
        **provenance(),
    }


def _carry_out(step: Step, words: Sequence[str], record: dict[str, Any], run: Run) -> None:
    begun = time.perf_counter()
    try:
        if reason := _missing(step.weights):
            record |= {"status": "skipped", "reason": reason}
            print(f"{step.name}: skipped: {reason}", flush=True)
            return
        code = run(words)
        reason = None if code == 0 else f"exit status {code}"
        record |= {"status": "failed" if reason else "finished", "reason": reason}
    finally:
        record["seconds"] = round(record["seconds"] + time.perf_counter() - begun, 1)


def _missing(backbone: str | None) -> str | None:
    """Why the backbone's ImageNet weights cannot be had, None where they can."""
    from pneumoscope.models.weights import require_imagenet
    from pneumoscope.models.zoo import resolve

    try:
        if backbone is not None:
            require_imagenet(resolve(backbone))
    except WeightsError as error:
        return str(error)
    return None


def _flag(quick: bool) -> str:
    return "--quick" if quick else ""


def in_a_process(words: Sequence[str]) -> int:
    """Run `pneumoscope` with these words; its exit status. It is left time to clean up."""
    with subprocess.Popen([sys.executable, "-m", "pneumoscope", *words]) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # which it has had from the terminal too
            process.wait()
            raise
        except SystemExit:
            process.terminate()
            process.wait()
            raise


def main() -> None:
    """Run the plan asked for."""
    root = HERE.parent
    named = os.environ.get("PNEUMOSCOPE_DATA", str(root.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, default=Path(named))
    parser.add_argument("--output", type=Path, help="default runs/recipes/NAME[-quick]")
    parser.add_argument("--only", metavar="STEP", help="run this step alone")
    parser.add_argument("--quick", action="store_true", help="a small but complete pass")
    given = parser.parse_args()
    ending = "-quick" if given.quick else ""
    output = given.output or root / "runs" / "recipes" / f"{given.name}{ending}"
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    how = {"quick": given.quick, "only": given.only, "run": in_a_process}
    try:
        run_plan(HERE / given.name, data=given.data, output=output, **how)
    except PneumoscopeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
