"""Writes the generated parts of the manual: `python manual/reference.py`, which `make docs` runs.

A page of `docs` says where such a part belongs, and the part is kept in the page:

    <!-- generated: cli -->
    ...
    <!-- end of generated -->

A test compares every committed page with what would be generated now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from command_line import command_line
from described import module_constants
from model_fields import bundle_fields, recipe_fields
from pneumoscope.core.files import write_text
from pneumoscope.reporting.markdown import escape_markdown
from python_api import python_api

DOCS = Path(__file__).parents[1] / "docs"
_PART = re.compile(
    r"(?<=<!-- generated: )(?P<name>[a-z_]+)(?P<open> -->\n).*?(?=<!-- end of generated -->)",
    re.DOTALL,
)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a `|` in a cell stays one."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _metrics() -> str:
    from pneumoscope.evaluation.metrics import METRICS

    rows = [
        (f"`{metric.name}:LABEL`" if metric.per_label else f"`{metric.name}`", metric.unit)
        for metric in METRICS
    ]
    return table(("metric", "unit"), rows)


def _checks() -> str:
    from pneumoscope.data.audit.registry import CHECKS

    return table(("check", "looks for"), [(f"`{check.name}`", check.title) for check in CHECKS])


def _layouts() -> str:
    from pneumoscope.data.layouts.registry import LAYOUTS

    return table(("layout", "form"), [(f"`{one.name}`", one.form) for one in LAYOUTS])


def _columns() -> str:
    from pneumoscope.data.layouts.columns import KNOWN, REQUIRED

    rows = [
        (
            f"`{column}`{' (needed)' if column in REQUIRED else ''}",
            ", ".join(f"`{n}`" for n in names),
        )
        for column, names in KNOWN.items()
    ]
    return table(("catalogue column", "recognised names"), rows)


def _catalogue() -> str:
    from pneumoscope.data.catalogue import SCHEMA

    return ", ".join(f"`{column}`" for column in SCHEMA)


def _backbones() -> str:
    from pneumoscope.models.names import NAMES, WIDTHS

    rows = [
        (name, f"`{timm}`", ", ".join(f"{width:g}" for width in WIDTHS.get(name, {})))
        for name, timm in NAMES.items()
    ]
    return table(("name", "in timm", "widths"), rows)


def _verdict() -> str:
    from pneumoscope.evaluation.verdict import thresholds

    rows = [
        (f"`{name}`", str(value), escape_markdown(words))
        for name, value, words in module_constants(thresholds)
    ]
    return table(("threshold", "value", "why"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "api": python_api,
    "backbones": _backbones,
    "bundle": bundle_fields,
    "catalogue": _catalogue,
    "checks": _checks,
    "cli": command_line,
    "columns": _columns,
    "layouts": _layouts,
    "metrics": _metrics,
    "recipe": recipe_fields,
    "verdict": _verdict,
}


def pages() -> list[Path]:
    """The pages with a generated part."""
    return sorted(page for page in DOCS.rglob("*.md") if _PART.search(page.read_text("utf8")))


def render(text: str) -> str:
    """The page with its generated parts as they are now.

    Raises:
        KeyError: it names a part that nothing generates.
    """
    return _PART.sub(
        lambda found: f"{found['name']}{found['open']}\n{PARTS[found['name']]()}\n\n", text
    )


def main() -> None:
    """Write the pages anew."""
    for page in pages():
        write_text(page, render(page.read_text("utf8")))


if __name__ == "__main__":
    main()
