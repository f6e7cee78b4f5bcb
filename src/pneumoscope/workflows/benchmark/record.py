"""How one training of a benchmark went, on disk: what a restart need not do again."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pneumoscope.core.errors import InputError, PneumoscopeError, RecipeError, WeightsError
from pneumoscope.core.files import write_text
from pneumoscope.core.recipe import Recipe, dump_recipe, load_recipe, override
from pneumoscope.tracking import Parent

T = TypeVar("T")
_PLACES = ("output", "record", "log")
Status = Literal["finished", "failed", "skipped"]


@dataclass(frozen=True)
class Record:
    """How a training ended.

    Attributes:
        status: `finished`, `failed`, or `skipped` for want of weights.
        reason: Why it did not finish, on one line.
        seconds: From start to end, None where they are not known; what was found in a cache took
            none of them.
        resumed: Whether it went on with one that was interrupted, whose seconds are not counted.
        hopeless: Whether another seed would fare no better.
    """

    status: Status
    reason: str | None = None
    seconds: float | None = None
    resumed: bool = False
    hopeless: bool = False

    def save(self, file: Path) -> None:
        """Write it, whole or not at all."""
        write_text(file, json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> Record | None:
        """The record in a file, None where there is none that can be read."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Job:
    """One training, as a process of its own can be told it.

    Attributes:
        recipe: What to train.
        output: The run folder.
        record: Where to say how it went.
        log: Where to say what happens.
        parent: The benchmark's tracked run, None where it is not tracked.
    """

    recipe: Recipe
    output: Path
    record: Path
    log: Path
    parent: Parent | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for every field."""
        places = {name: str(getattr(self, name)) for name in _PLACES}
        parent = asdict(self.parent) if self.parent else None
        return {"recipe": dump_recipe(self.recipe), **places, "parent": parent}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Job:
        """The job that `to_json` wrote."""
        import yaml

        recipe = Recipe.model_validate(yaml.safe_load(content["recipe"]))
        parent = Parent(**content["parent"]) if content["parent"] else None
        output, record, log = (Path(content[name]) for name in _PLACES)
        return cls(recipe, output, record, log, parent)

    def run(self) -> Record:
        """Train, and record how it went; only an interrupt gets through."""
        from pneumoscope.workflows.unfinished import folder_of

        resumed = folder_of(self.output).is_dir()
        reporter = LogReporter(self.log)
        try:
            record = Record("finished", seconds=self._train(reporter), resumed=resumed)
        except WeightsError as error:
            record = Record("skipped", _one_line(error), hopeless=True)
        except Exception as error:  # noqa: BLE001 - whatever a candidate does, the others go on
            reporter.warn("".join(traceback.format_exception(error)))
            record = Record("failed", _one_line(error), hopeless=isinstance(error, InputError))
        record.save(self.record)
        return record

    def _train(self, reporter: LogReporter) -> float:
        from pneumoscope.workflows.training import train

        result = train(
            self.recipe, output=self.output, resume=True, reporter=reporter, parent=self.parent
        )
        return round(result.seconds, 2)


def is_finished(recipe: Recipe, output: Path) -> bool:
    """Whether the run folder is whole; `train` makes it appear in one piece.

    Raises:
        RecipeError: it is of another recipe.
    """
    if not (output / "metrics.json").is_file():
        return False
    written = load_recipe(output / "recipe.yaml")
    # What a run chooses by itself it writes back; where files lie says nothing of what they are.
    chosen = {
        "data.path": recipe.data.path,
        "split.file": recipe.split.file,
        "compute": recipe.compute.model_dump(mode="json"),
        **{
            f"phases.{number}.precision": phase.precision
            for number, phase in enumerate(recipe.phases)
            if phase.kind == "fine_tune"
        },
    }
    if len(written.phases) != len(recipe.phases) or override(written, chosen) != recipe:
        raise RecipeError(
            f"{output}: is a run of another recipe. Remove it, or give another --output."
        )
    return True


class LogReporter:
    """Writes what happens to a file, a line each, with the time."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file

    def say(self, message: str) -> None:
        """Append a line."""
        with self._file.open("a", encoding="utf8", errors="backslashreplace") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {message}\n")

    def warn(self, message: str) -> None:
        """Append a warning."""
        self.say(f"Note: {message}")

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Append a line, and yield the items."""
        del total
        self.say(f"{description} ...")
        yield from items


def _one_line(error: BaseException) -> str:
    """What an error says; its kind too where it is not one of this program's."""
    text = " ".join(str(error).split())
    return text if isinstance(error, PneumoscopeError) else f"{type(error).__name__}: {text}"
