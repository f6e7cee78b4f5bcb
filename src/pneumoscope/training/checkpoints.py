"""What a killed run goes on from: one file per phase, replaced as a whole.

A file holds tensors and, in its header, the facts about them (safetensors: no pickle). A phase
that is done keeps its result; one under way, also its optimizer's memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import write_bytes

_FACTS = "facts"


@dataclass(frozen=True)
class Snapshot:
    """A phase at one moment.

    Attributes:
        tensors: By name; names before the first dot say what they belong to.
        facts: What else is needed, as JSON.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors that belong to `name`, without it."""
        start = f"{name}."
        return {
            key.removeprefix(start): value
            for key, value in self.tensors.items()
            if key.startswith(start)
        }


@dataclass(frozen=True)
class Checkpoints:
    """The folder of one unfinished run; None keeps nothing."""

    folder: Path | None = None

    def save(self, phase: int, snapshot: Snapshot) -> None:
        """Keep the phase's snapshot in place of the one before.

        Raises:
            StorageError: it cannot be written; the one before is still there.
        """
        if self.folder is None:
            return
        from safetensors.torch import save

        tensors = {
            name: value.detach().cpu().contiguous().clone()
            for name, value in snapshot.tensors.items()
        }
        content = save(tensors, {_FACTS: json.dumps(dict(snapshot.facts))})
        write_bytes(self._file(phase), content)

    def load(self, phase: int) -> Snapshot | None:
        """The phase's snapshot, None where there is none.

        Raises:
            StorageError: it was damaged.
        """
        if self.folder is None or not (file := self._file(phase)).is_file():
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, framework="pt") as content:
                facts = json.loads((content.metadata() or {})[_FACTS])
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise StorageError(
                f"{file}: is damaged ({' '.join(str(error).split())[:100]}). "
                "Delete the folder and train again."
            ) from error
        return Snapshot(tensors, facts)

    def _file(self, phase: int) -> Path:
        return Path(str(self.folder)) / f"phase-{phase}.safetensors"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory by parameter number and name; what is not yet there is left out."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, entry in state.items()
        for name, value in entry.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimizer the memory that `optimizer_tensors` took."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, field = name.split(".", 1)
        like = parameters[int(number)]
        # In the parameter's memory format, or last bits may differ.
        same = value.shape == like.shape
        kept = torch.empty_like(like, requires_grad=False).copy_(value) if same else value
        state.setdefault(int(number), {})[field] = kept
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
