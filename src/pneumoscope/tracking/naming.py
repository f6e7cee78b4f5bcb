"""How recipes, histories and results are spelled as MLflow's parameters, metrics and tags."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pneumoscope.core.provenance import provenance

RUN_TAG: Final = "pneumoscope.run"
"""The run's key: the same in every store."""
CONTENT_TAG: Final = "pneumoscope.content"
"""A hash of the run folder's content."""
COMPLETE_TAG: Final = "pneumoscope.complete"
"""`true` once the store has everything."""
MODEL_TAG: Final = "pneumoscope.model"
"""The id of the logged model."""
PARENT_TAG: Final = "mlflow.parentRunId"
NOTE_TAG: Final = "mlflow.note.content"
"""What MLflow's pages show as the run's description, in Markdown."""

_MAX_VALUE = 6000
_MAX_TAG = 5000
_ENDS = ("low", "high")


def flatten(content: Any) -> dict[str, str]:
    """Every field of nested mappings and lists by its dotted name, as text MLflow accepts.

    >>> flatten({"phases": [{"kind": "probe", "epochs": 3}], "columns": {}})
    {'phases.0.kind': 'probe', 'phases.0.epochs': '3', 'columns': '{}'}
    """
    return {
        legal_name(name): shortened(str(value), _MAX_VALUE) for name, value in _walk(content, "")
    }


def epoch_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one epoch (a row of the history) as `<phase>/<name>`, finite ones only."""
    values = {k: v for k, v in row.items() if k not in ("phase", "epoch") and v is not None}
    return finite({f"{row['phase']}/{name}": float(value) for name, value in values.items()})


def result_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every defined metric of `metrics.json`: `<split>/<name>`, its interval `<split>.low/<name>`.

    MLflow's pages make a group of what stands before the last slash.
    """
    split = str(metrics.get("split", "test"))
    flat: dict[str, float] = {}
    for name, entry in metrics.items():
        if isinstance(entry, Mapping) and entry.get("value") is not None:
            flat[f"{split}/{name}"] = float(entry["value"])
            for end in _ENDS:
                if entry.get(end) is not None:
                    flat[f"{split}.{end}/{name}"] = float(entry[end])
    return finite(flat)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """What is finite, under names MLflow allows."""
    return {legal_name(k): float(v) for k, v in values.items() if math.isfinite(v)}


def provenance_tags(found: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Code version and machine of this process, or of the provenance in a bundle."""
    given: Mapping[str, Any] = provenance() if found is None else found
    versions, machine = given.get("versions", {}), given.get("machine", {})
    tags = {}
    if versions:
        named = [f"{name} {version}" for name, version in versions.items()]
        tags["pneumoscope.versions"] = ", ".join(named)
    if "pneumoscope" in versions:
        tags["pneumoscope.code"] = str(versions["pneumoscope"])
    if machine:
        tags["pneumoscope.machine"] = (
            f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('system')}"
        )
    return tags


def named_precisions(phases: Iterable[str], *, frozen: str, engine: str) -> dict[str, str]:
    """In which precision phases and the frozen backbone computed; what engine the latter.

    >>> named_precisions(["float32", "float32"], frozen="bfloat16", engine="openvino")
    {'pneumoscope.precision': 'float32', 'pneumoscope.precision.frozen': 'bfloat16, OpenVINO'}
    """
    return {
        "pneumoscope.precision": ", ".join(dict.fromkeys(phases)) or frozen,
        "pneumoscope.precision.frozen": frozen if engine == "torch" else f"{frozen}, OpenVINO",
    }


def legal_name(name: str) -> str:
    """MLflow allows letters and digits of any script and `_-. :/`; the rest becomes underscores.

    >>> legal_name("sensitivity:a (b)")
    'sensitivity:a _b_'
    """
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)[:250]


def legal_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Tags under names and of lengths that MLflow allows."""
    return {legal_name(k): shortened(str(v), _MAX_TAG) for k, v in tags.items()}


def shortened(text: str, most: int) -> str:
    """The text, its end cut off and marked where it is too long."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _walk(content: Any, prefix: str) -> Iterator[tuple[str, object]]:
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from _walk(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, (list, tuple)) and content:
        for index, value in enumerate(content):
            yield from _walk(value, f"{prefix}.{index}")
    else:
        yield prefix, content
