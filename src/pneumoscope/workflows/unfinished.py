"""A training under way: the hidden folder beside its output that a killed run goes on from."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pneumoscope.core.errors import InputError, RecipeError, StorageError
from pneumoscope.core.files import storage_errors, write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.training.checkpoints import Checkpoints

_RECIPE, _DATA, _LOCK = "recipe.yaml", "data.json", "lock"


@dataclass(frozen=True)
class Unfinished:
    """What is kept of a training until its output is whole.

    Attributes:
        output: The run folder it will become.
        folder: Where it is kept.
    """

    output: Path
    folder: Path

    @property
    def checkpoints(self) -> Checkpoints:
        """Its phases."""
        return Checkpoints(self.folder)

    def require_data(self, fingerprint: str) -> None:
        """Remember the data it began with, and refuse others.

        Raises:
            InputError: the data have changed since.
        """
        file = self.folder / _DATA
        if not file.is_file():
            write_text(file, json.dumps({"fingerprint": fingerprint}))
        elif json.loads(file.read_text(encoding="utf8")) != {"fingerprint": fingerprint}:
            raise InputError(
                f"{self.output}: the data have changed since this training began. Give the same "
                f"data, or remove {self.folder} to begin anew."
            )


@contextmanager
def unfinished(
    recipe: Recipe, output: Path, *, resume: bool, reporter: Reporter
) -> Iterator[Unfinished]:
    """The training of `recipe` into `output`, new or gone on with; removed when it is finished.

    What was reached stays, whatever the block is left by; nothing stays if no phase was begun.

    Raises:
        StorageError: one is there already and `resume` is not asked for, or another process is
            at it.
        RecipeError: the one that is there is of another recipe.
    """
    at = Unfinished(output, folder_of(output))
    known = (at.folder / _RECIPE).is_file()
    if known and not resume:
        raise StorageError(
            f"{output}: an unfinished training is there. Go on with it by --resume, or remove "
            f"{at.folder}."
        )
    if resume and not known:
        reporter.say("Nothing to resume: training begins.")
    with storage_errors(at.folder):
        at.folder.mkdir(parents=True, exist_ok=True)
    with _alone(at):
        _clear(output)
        if known:
            _require_recipe(at, recipe)
            reporter.say(f"Going on with the unfinished training of {output}.")
        write_text(at.folder / _RECIPE, dump_recipe(recipe))
        try:
            yield at
        except BaseException:
            if any(at.folder.glob("phase-*")):
                reporter.warn("What was reached is kept: the same command with --resume goes on.")
            else:
                shutil.rmtree(at.folder, ignore_errors=True)
            raise
        shutil.rmtree(at.folder, ignore_errors=True)


def find_unfinished(recipe: Recipe, runs: Path) -> Path | None:
    """The output of the training of this recipe that was begun last and is not finished."""
    text = dump_recipe(recipe)
    found = [
        file
        for file in runs.glob(f".*.unfinished/{_RECIPE}")
        if file.read_text(encoding="utf8") == text
    ]
    if not found:
        return None
    folder = max(found, key=lambda file: file.stat().st_mtime).parent
    return runs / folder.name.removeprefix(".").removesuffix(".unfinished")


def folder_of(output: Path) -> Path:
    """Where the unfinished training of `output` is kept."""
    return output.parent / f".{output.name}.unfinished"


def _clear(output: Path) -> None:
    """Remove what `staged_folder` left for this output when its process was killed."""
    ours = re.compile(re.escape(f".{output.name}.") + r"[^.]{8}\.partial")
    for left in output.parent.iterdir():
        if ours.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


def _require_recipe(at: Unfinished, recipe: Recipe) -> None:
    begun = (at.folder / _RECIPE).read_text(encoding="utf8").splitlines()
    now = dump_recipe(recipe).splitlines()
    if begun == now:
        return
    pairs = zip(begun, now, strict=False)
    changed = next((pair for pair in pairs if pair[0] != pair[1]), ("more fields", "fewer"))
    raise RecipeError(
        f"{at.output}: was begun with another recipe ({changed[0].strip()!r}, now "
        f"{changed[1].strip()!r}). Give that one, or remove {at.folder}."
    )


@contextmanager
def _alone(at: Unfinished) -> Iterator[None]:
    """Refuse to work where another process is at it; a killed one has let go."""
    with storage_errors(at.folder), (at.folder / _LOCK).open("w") as file:
        if not _locked(file):
            raise StorageError(f"{at.output}: another process is training it. Wait for it to end.")
        yield


def _locked(file: IO[Any]) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing to hold on to
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
