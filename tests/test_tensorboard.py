from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pneumoscope.tracking.tensorboard import event_files

if TYPE_CHECKING:
    from torch import Tensor

pytest.importorskip("tensorboard")


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        answer: Tensor = self.layer(pixels.float() / 255).mean(dim=(2, 3))
        return answer


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (6, 1, 32, 32), dtype=np.uint8)
    module = Small().train()
    with event_files(folder) as events:
        for step in range(3):
            events.scalar("probe/train_loss", 1 / (step + 1), step)
        events.text("recipe", "name: small")
        events.graph(module, torch.from_numpy(pixels))
        assert module.training
        events.images("augmented", pixels)
        events.picture("saliency/0", np.zeros((20, 30, 3), dtype=np.uint8))
        events.pr_curves(("A", "B"), np.array([0, 1] * 3), generator.random((6, 2)))
        columns: dict[str, list[object]] = {"label": ["A", None, "B"] * 2, "image": list(range(6))}
        events.projector(generator.random((6, 4)), columns, pixels)
        events.profile(lambda: module(torch.from_numpy(pixels)).sum().backward(), steps=2)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_everything_is_in_the_event_files(written: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(written), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    tags = found.Tags()
    assert [event.step for event in found.Scalars("probe/train_loss")] == [0, 1, 2]
    assert tags["graph"]
    assert {name.split("/")[0] for name in tags["images"]} == {"augmented", "saliency"}
    assert {"pr/A", "pr/B", "recipe/text_summary"} <= set(tags["tensors"])
    table = found.Tensors("profile/operations/text_summary")[0].tensor_proto.string_val[0]
    assert "aten::conv2d" in table.decode()


def test_the_trace_of_the_profile(written: Path) -> None:
    trace = json.loads((written / "steps.pt.trace.json").read_text())
    assert "aten::conv2d" in {event.get("name") for event in trace["traceEvents"]}


def test_the_projector_has_a_row_and_a_picture_per_image(written: Path) -> None:
    assert (written / "projector_config.pbtxt").is_file()
    assert (written / "00000" / "embedding" / "sprite.png").is_file()
    rows = (written / "00000" / "embedding" / "metadata.tsv").read_text().splitlines()
    assert rows[:3] == ["label\timage", "A\t0", "\t1"]
    assert len(rows) == 7
