"""Shows what an audit found."""

from __future__ import annotations

from pneumoscope.cli.console import print_lines
from pneumoscope.workflows.auditing import AuditResult


def show_audit(result: AuditResult, *, as_json: bool) -> None:
    """Print the issues, or `audit.json` for programs; exit 1 if a gate did not let one pass."""
    if as_json:
        print_lines([(result.output / "audit.json").read_text(encoding="utf8").rstrip()])
    else:
        _print_issues(result)
    if result.failed:
        names = ", ".join(sorted({issue.check for issue in result.failed}))
        raise SystemExit(_say_failed(names))


def _say_failed(names: str) -> str:
    return f"pneumoscope: the audit's gate (--fail-on) stopped at {names}. See the report."


def _print_issues(result: AuditResult) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    styles = {"error": "bold red", "warning": "yellow", "info": "dim"}
    console = Console(highlight=False)
    for issue in result.issues:
        console.print(Text(f"{issue.severity:8}", styles[issue.severity]), Text(issue.title))
        console.print(Padding(Text(issue.message), (0, 0, 1, 9)))
    lines = [f"Report  {result.report}"]
    lines += [f"Split   {result.split}"] if result.split else []
    print_lines(lines)
