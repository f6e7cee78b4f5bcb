"""What is exported: logits, embedding and saliency maps at once, perhaps over several views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pneumoscope.models.classifier import Classifier


class Move(NamedTuple):
    """How a view differs from the plain canvas: turned, enlarged, then shifted.

    Attributes:
        zoom: Factor of enlargement.
        turn: Degrees, counterclockwise.
        right: Shift, as a fraction of the canvas.
        down: Shift, as a fraction of the canvas.
    """

    zoom: float = 1.0
    turn: float = 0.0
    right: float = 0.0
    down: float = 0.0


MOVES: tuple[Move, ...] = (
    Move(),
    Move(zoom=1.05),
    Move(zoom=0.95),
    Move(turn=4),
    Move(turn=-4),
    Move(right=0.03),
    Move(right=-0.03),
    Move(down=0.03),
    Move(down=-0.03),
    Move(zoom=1.05, turn=4),
    Move(zoom=0.95, turn=-4),
    Move(zoom=1.05, turn=-4),
    Move(zoom=0.95, turn=4),
    Move(right=0.03, down=0.03),
    Move(right=-0.03, down=-0.03),
    Move(right=0.03, down=-0.03),
)
"""The views in the order they are taken: n views are the first n of these.

All lie well inside what training views differ by as recipes have it by default. None is flipped:
the heart is on the left. An odd number of views leaves no move without its opposite.
"""


@dataclass(frozen=True, slots=True)
class FixedViews:
    """The views of a canvas whose answers are averaged.

    Attributes:
        count: How many, 1 to 16; 1 is the plain canvas alone.
        fill: Grey level, 0-255, of what a move brings in from outside.
    """

    count: int = 1
    fill: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= len(MOVES):
            raise ValueError(f"{self.count} views; there are 1 to {len(MOVES)}")

    def of(self, pixels: Tensor) -> Tensor:
        """The views `[count, batch, size, size]`, float32, of `[batch, 1, size, size]` grey levels.

        The first is the canvas as it is. Resampling is bilinear, as of training views.
        """
        plain = pixels.to(torch.float32).transpose(0, 1)
        if self.count == 1:
            return plain
        matrices = torch.tensor([_matrix(move) for move in MOVES[1 : self.count]])
        others, size = len(matrices), pixels.shape[-1]
        grid = functional.affine_grid(matrices, [others, 1, size, size], align_corners=False)
        # The batch stands where channels do: one grid then serves all its images.
        repeated = (plain - self.fill).expand(others, -1, -1, -1)
        moved = functional.grid_sample(repeated, grid.to(plain.device), align_corners=False)
        return torch.cat([plain, moved + self.fill])


class SaliencyClassifier(nn.Module):
    """What is exported: a classifier that also answers where its evidence lies.

    Head and pooling write their derivatives out as forward operations, so Grad-CAM (Selvaraju et
    al. 2017, equations 1 and 2) needs no backward pass.

    Args:
        classifier: Answers every view.
        views: Whose logits are averaged; by default the plain canvas alone.
    """

    def __init__(self, classifier: Classifier, views: FixedViews | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.views = views or FixedViews()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, embedding and saliency maps.

        Args:
            pixels: `[batch, 1, size, size]`, uint8 grey levels.

        Returns:
            Logits `[batch, label]` and embedding `[batch, features]`, each the mean over the
            views; saliency maps `[batch, label, height, width]` of the plain view alone (what the
            others show lies elsewhere on the canvas), at the resolution of the last feature maps,
            >= 0, in logit units: Grad-CAM times the number of positions. A channel weighs as much
            as the plain view's logit changes when it rises by 1 at every position; for average
            pooling and a linear head the mean over positions, before negative parts are cut, is
            that logit without its bias.
        """
        if self.views.count == 1:
            maps, embedding, logits = self._answer(pixels)
            return logits, embedding, self._saliency(maps, embedding)
        batch, count = pixels.shape[0], self.views.count
        maps, embedding, logits = self._answer(self.views.of(pixels).flatten(0, 1).unsqueeze(1))
        saliency = self._saliency(maps[:batch], embedding[:batch])
        means = [part.reshape(count, batch, -1).mean(dim=0) for part in (logits, embedding)]
        return means[0], means[1], saliency

    def _answer(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps in float32, embedding and logits."""
        maps = self.classifier.backbone(pixels).to(torch.float32)
        embedding = self.classifier.embed_maps(maps)
        return maps, embedding, self.classifier.head(embedding)

    def _saliency(self, maps: Tensor, embedding: Tensor) -> Tensor:
        gradients = self.classifier.head.label_gradients(embedding)
        weights = self.classifier.pooling.channel_weights(gradients, maps, embedding)
        return torch.relu(torch.einsum("blc,bchw->blhw", weights, maps))


def _matrix(move: Move) -> list[list[float]]:
    """The move as `affine_grid` takes it: from output to input, coordinates from -1 to 1."""
    angle = math.radians(move.turn)
    cosine, sine = math.cos(angle) / move.zoom, math.sin(angle) / move.zoom
    x, y = 2 * move.right, 2 * move.down
    return [
        [cosine, -sine, sine * y - cosine * x],
        [sine, cosine, -sine * x - cosine * y],
    ]
