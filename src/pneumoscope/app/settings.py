"""What the app was started with; handed to its script as command-line arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the app finds what it shows.

    Attributes:
        bundle: Folder or zip that answers; None where nothing can be tried.
        runs: Folder of runs, or the address of an MLflow store.
        audit: Folder that `audit` wrote.
    """

    bundle: Path | None = None
    runs: str | None = None
    audit: Path | None = None

    def to_arguments(self) -> list[str]:
        """What `from_arguments` reads back."""
        named = {"bundle": self.bundle, "runs": self.runs, "audit": self.audit}
        return [f"--{name}={value}" for name, value in named.items() if value is not None]

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Settings:
        """The settings that arguments say; what else they hold is left alone.

        >>> Settings.from_arguments(["--runs=runs", "--bundle=b.zip"]).runs
        'runs'
        """
        pairs = (argument.removeprefix("--").partition("=") for argument in arguments)
        found = {name: value for name, _, value in pairs}
        return cls(
            bundle=Path(found["bundle"]) if "bundle" in found else None,
            runs=found.get("runs"),
            audit=Path(found["audit"]) if "audit" in found else None,
        )
