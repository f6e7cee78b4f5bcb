"""Label patches: what people decided about doubtful labels, kept beside the data, never in them.

A patch is a JSON file with a version; each saving writes a new file, so that no decision is lost.
`data.patch` of a recipe names the one that training applies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.data.catalogue import CONTRADICTING, without_copies

Verdict: TypeAlias = Literal["keep", "relabel", "exclude"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SCHEMA_VERSION: Final = 1
EXCLUDED = "excluded by the label patch"

_NAME = re.compile(r"label_patch_(\d{4})\.json")
_KINDS: Final[Mapping[str, type]] = {
    "schema_version": int, "version": int, "data": str, "fingerprint": str, "created": str,
    "decisions": list,
}  # fmt: skip
_WORDS = {int: "a whole number", str: "text", list: "a list"}


@dataclass(frozen=True)
class Decision:
    """What was decided about one image.

    Attributes:
        image_id: Which; fixed by its content.
        path: Where it was, for people.
        label: That the data gave it when it was looked at.
        verdict: `keep` the label, `relabel` the image, or `exclude` it.
        new_label: Its label from now on; None unless it is relabelled.
    """

    image_id: str
    path: str
    label: str
    verdict: Verdict
    new_label: str | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            allowed = ", ".join(VERDICTS)
            raise LabelError(
                f"{self.path}: verdict '{self.verdict}'; allowed: {allowed}. Decide on it again."
            )
        if (self.verdict == "relabel") != (self.new_label is not None):
            raise LabelError(f"{self.path}: a new label goes with relabel alone. Give one there.")


@dataclass(frozen=True)
class LabelPatch:
    """Decisions about one data set.

    Attributes:
        version: 1 for the first, one more for each saved after it.
        data: Its name.
        fingerprint: Of the catalogue that was looked at.
        created: When, in ISO 8601.
        decisions: One per image at most.
    """

    version: int
    data: str
    fingerprint: str
    created: str
    decisions: tuple[Decision, ...]

    def to_json(self) -> str:
        """The content of the file."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def patches(folder: Path) -> list[Path]:
    """The patches in a folder, the newest last."""
    return sorted(path for path in folder.glob("label_patch_*.json") if _NAME.fullmatch(path.name))


def save_patch(
    decisions: Sequence[Decision], folder: Path, *, data: str, fingerprint: str, created: str
) -> Path:
    """The file written: `label_patch_0001.json`, or the next version.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    found = patches(folder)
    version = int(found[-1].stem.rpartition("_")[2]) + 1 if found else 1
    patch = LabelPatch(version, data, fingerprint, created, tuple(decisions))
    path = folder / f"label_patch_{version:04}.json"
    write_text(path, patch.to_json())
    return path


def read_patch(path: Path) -> LabelPatch:
    """The patch in a file.

    Raises:
        LabelError: it is none, or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        _check(content)
        if (found := content.pop("schema_version")) != SCHEMA_VERSION:
            raise ValueError(f"schema version {found}; this program reads {SCHEMA_VERSION}")
        decisions = tuple(_decision(one) for one in content.pop("decisions"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabelError(f"{path}: is no label patch ({reason}). Save one on Review.") from error
    if len({one.image_id for one in decisions}) < len(decisions):
        raise LabelError(f"{path}: decides twice about one image. Save it again on Review.")
    return LabelPatch(**content, decisions=decisions)


def apply_patch(catalogue: pl.DataFrame, patch: LabelPatch, *, reporter: Reporter) -> pl.DataFrame:
    """The catalogue under a patch: images relabelled, or excluded with the reason.

    Identical copies that were left out because their labels contradict each other come back as
    one image where the patch settles its label, kept or new.

    Args:
        catalogue: One row per image.
        patch: What was decided.
        reporter: Told how many images it is about, and how many are not here.

    Raises:
        LabelError: a new label is none of the data's.
    """
    labels = set(catalogue["label"].unique())
    new = {one.image_id: one.new_label for one in patch.decisions if one.new_label is not None}
    settled = _settled(catalogue, patch)
    if unknown := sorted({*new.values(), *settled.values()} - labels):
        allowed = ", ".join(sorted(labels))
        raise LabelError(f"label patch: label '{unknown[0]}'; allowed: {allowed}. Review it again.")
    left_out = [one.image_id for one in patch.decisions if one.verdict == "exclude"]
    here = set(catalogue["image_id"].drop_nulls())
    away = sum(one.image_id not in here for one in patch.decisions)
    told = f"label patch {patch.version}: {len(new)} images relabelled, {len(left_out)} excluded"
    if settled:
        told += f", {len(settled)} settled whose copies carry different labels"
    reporter.say(f"{told}.")
    if away:
        reporter.warn(f"label patch: {away} images that it decides about are not in these data.")
    out = pl.col("excluded").is_null() & pl.col("image_id").is_in(left_out)
    back = (pl.col("excluded") == CONTRADICTING) & pl.col("image_id").is_in(list(settled))
    patched = catalogue.with_columns(
        pl.col("image_id").replace_strict(settled | new, default=None, return_dtype=pl.String)
        .fill_null(pl.col("label"))
        .alias("label"),
        pl.when(out).then(pl.lit(EXCLUDED)).when(back).then(None).otherwise("excluded")
        .alias("excluded"),
    )  # fmt: skip
    return without_copies(patched) if settled else patched


def _settled(catalogue: pl.DataFrame, patch: LabelPatch) -> dict[str, str]:
    """Image id to label, of images whose copies contradict each other and that it decides on."""
    contradicting = set(catalogue.filter(pl.col("excluded") == CONTRADICTING)["image_id"])
    return {
        one.image_id: one.new_label or one.label
        for one in patch.decisions
        if one.image_id in contradicting and one.verdict != "exclude"
    }


def _check(content: object) -> None:
    """Refuse fields that are missing, unknown, or of another kind than `save_patch` writes."""
    if not isinstance(content, dict) or set(content) != set(_KINDS):
        raise ValueError(f"its fields must be {', '.join(_KINDS)}")
    for name, kind in _KINDS.items():
        if type(content[name]) is not kind:
            raise ValueError(f"{name} is {str(content[name])[:40]!r}; allowed: {_WORDS[kind]}")
    if content["version"] < 1:
        raise ValueError(f"version is {content['version']}; allowed: 1 or more")
    datetime.fromisoformat(content["created"])


def _decision(content: object) -> Decision:
    if not isinstance(content, dict):
        raise TypeError(f"a decision is {str(content)[:40]!r}; allowed: an object")
    for name, value in content.items():
        if not isinstance(value, str) and (name, value) != ("new_label", None):
            raise TypeError(f"{name} of a decision is {str(value)[:40]!r}; allowed: text")
    return Decision(**content)
