"""The audit's page and its JSON: what was found, worst first, with pictures to look at."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pneumoscope._version import __version__
from pneumoscope.core.files import write_text
from pneumoscope.reporting.pages import fill_html, read_template
from pneumoscope.reporting.tables import count_table
from pneumoscope.reporting.words import NOTICE, count, spell

_SHOWN_PATHS = 20
_WORST_FIRST = ("error", "warning", "info")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A sheet of radiographs.

    Attributes:
        section: `issue:<check>`, `mean`, `label` or `pair`: where the page shows it.
        caption: What it shows.
        png: The image.
    """

    section: str
    caption: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class AuditPage:
    """All that the page says.

    Attributes:
        title: Names of the data.
        facts: Numbers of the whole: images, usable, duplicate pairs, fingerprint.
        issues: `check`, `severity`, `title`, `message`, `paths`, `facts` of each.
        counts: columns split, label, images, patients.
        pictures: In the order to be shown.
        notices: What the program chose or noticed while reading.
        provenance: Where the result came from.
    """

    title: str
    facts: Mapping[str, object]
    issues: Sequence[Mapping[str, object]]
    counts: pl.DataFrame
    pictures: Sequence[Picture]
    notices: Sequence[str]
    provenance: Mapping[str, object]


def audit_json(
    facts: Mapping[str, object],
    *,
    issues: Sequence[Mapping[str, object]],
    provenance: Mapping[str, object],
) -> str:
    """The content of `audit.json`: facts, counts by severity, every issue, provenance."""
    severities = {name: _of(issues, name) for name in _WORST_FIRST}
    content = {
        **facts,
        "severities": {name: len(found) for name, found in severities.items()},
        "issues": _sorted(issues),
        "provenance": provenance,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_audit_page(page: AuditPage) -> str:
    """The page as one HTML document that needs no network and no script."""
    from markupsafe import Markup

    return fill_html(
        "audit.html.j2",
        version=__version__,
        css=Markup(read_template("report.css").rstrip()),  # noqa: S704 - the package's own
        notice=NOTICE,
        title=page.title,
        lead=_lead(page),
        tiles=[{"name": name, "value": len(_of(page.issues, name))} for name in _WORST_FIRST],
        issues=[_issue(issue, page.pictures) for issue in _sorted(page.issues)],
        data=count_table(page.counts),
        means=[_shown(picture) for picture in page.pictures if picture.section == "mean"],
        labels=[_shown(picture) for picture in page.pictures if picture.section == "label"],
        pairs=[_shown(picture) for picture in page.pictures if picture.section == "pair"],
        notices=page.notices,
        provenance={key: spell(value) for key, value in page.provenance.items()},
    )


def write_audit_page(page: AuditPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    write_text(path, render_audit_page(page))


def _lead(page: AuditPage) -> str:
    images, usable = page.facts.get("images"), page.facts.get("usable")
    pairs = count(page.facts.get("duplicate_pairs"), "pair of duplicates", "pairs of duplicates")
    return f"{count(images, 'image')}, {usable} of them usable; {pairs}."


def _issue(issue: Mapping[str, object], pictures: Sequence[Picture]) -> dict[str, object]:
    paths = issue.get("paths")
    listed = list(paths) if isinstance(paths, (list, tuple)) else []
    facts = issue.get("facts")
    wanted = f"issue:{issue['check']}"
    return {
        **issue,
        "paths": listed[:_SHOWN_PATHS],
        "more": max(0, len(listed) - _SHOWN_PATHS),
        "facts": {
            str(name): _fact(value)
            for name, value in (facts.items() if isinstance(facts, Mapping) else ())
        },
        "pictures": [_shown(picture) for picture in pictures if picture.section == wanted],
    }


def _fact(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _shown(picture: Picture) -> dict[str, str]:
    return {
        "caption": picture.caption,
        "source": f"data:image/png;base64,{base64.b64encode(picture.png).decode()}",
    }


def _sorted(issues: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    return [issue for severity in _WORST_FIRST for issue in _of(issues, severity)]


def _of(issues: Sequence[Mapping[str, object]], severity: str) -> list[Mapping[str, object]]:
    return [issue for issue in issues if issue["severity"] == severity]
