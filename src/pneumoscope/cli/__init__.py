"""The command line: parse, call a workflow, print."""

from pneumoscope.cli.main import main

__all__ = ["main"]
