"""The reference of the command line, from the Typer app itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_RANGE = re.compile(r"<(int|float)( range)?>")


def command_line() -> str:
    """Every command: what it does, its usage, its arguments and options."""
    import typer.main

    from pneumoscope.cli.main import app

    root = typer.main.get_command(app)
    return "\n".join(
        line for path, one in _commands("pneumoscope", root) for line in _shown(path, one)
    )


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and all below it, in the order of their names; groups only stand for theirs."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name in sorted(below):
        yield from _commands(f"{path} {name}", below[name])


def _shown(path: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=path, max_content_width=10_000)
    summary, *examples = " ".join(command.help.split()).split("Example: ")
    usage = " ".join(
        [path, "[OPTIONS]", *(_place(one) for one in command.params if _positional(one))]
    )
    yield from (f"## `{path}`", "", summary.strip(), "", "```text", usage, "```", "")
    for example in examples:
        yield from ("Example:", "", "```sh", example.strip(), "```", "")
    yield from ("| argument or option | does |", "|---|---|")
    for one in command.params:
        if record := one.get_help_record(context):
            name = _place(one) if _positional(one) else _RANGE.sub("<number>", record[0])
            yield f"| `{_cell(name)}` | {_plain(record[1])} |"
    yield ""


def _positional(parameter: Any) -> bool:
    return str(parameter.param_type_name) == "argument"


def _place(argument: Any) -> str:
    """An argument as a usage line has it: `[BUNDLE]` may be left out, `RUN...` may be several."""
    name = (argument.metavar or argument.name.upper()).removesuffix("...")
    several = "..." if argument.nargs == -1 else ""
    return f"{name}{several}" if argument.required else f"[{name}]{several}"


def _plain(text: str) -> str:
    """Words as a cell of Markdown shows them: `[required]` is no link."""
    for sign, shown in (("[", "\\["), ("]", "\\]"), ("<", "&lt;"), ("|", "\\|")):
        text = text.replace(sign, shown)
    return " ".join(text.split())


def _cell(text: str) -> str:
    """Code in a cell: a bar would end it."""
    return text.replace("|", "\\|")
