"""The gate of one bundle: its three stages, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.archive import FAMILIAR, GATE
from pneumoscope.bundle.gate.familiarity import Familiarity, Features
from pneumoscope.bundle.gate.modality import modality_stage
from pneumoscope.bundle.gate.network import Looker, Looks
from pneumoscope.bundle.gate.quality import quality_stage
from pneumoscope.bundle.gate.settings import GateSettings
from pneumoscope.bundle.prediction import GateStage, GateVerdict
from pneumoscope.core.types import Canvas, IntArray, PixelBatch

if TYPE_CHECKING:
    from pneumoscope.bundle.archive import Bundle


@dataclass(frozen=True, eq=False)
class Gate:
    """What looks at images before and after the model does.

    Attributes:
        settings: What it goes by.
        looker: The gate's own network.
        familiarity: Tells familiar images from others; None where the bundle cannot.
    """

    settings: GateSettings
    looker: Looker
    familiarity: Familiarity | None

    @classmethod
    def of(
        cls, bundle: Bundle, runtime: str = "auto", *, threads: int | None = None
    ) -> Gate | None:
        """The gate of a bundle; None where it has none, as those made before there was one.

        Raises:
            BundleError: settings, network or arrays are not what they have to be.
        """
        if bundle.spec.gate is None or GATE not in bundle.files:
            return None
        familiarity = None
        if FAMILIAR in bundle.files:
            labels = len(bundle.spec.labels)
            familiarity = Familiarity.from_bytes(bundle.files[FAMILIAR], labels=labels)
        settings = GateSettings.from_json(bundle.spec.gate)
        return cls(settings, Looker.open(bundle.files[GATE], runtime, threads=threads), familiarity)

    def look(self, canvases: PixelBatch) -> Looks:
        """What the gate's network makes of canvases `[batch, 1, size, size]`."""
        return self.looker.look(canvases)

    def before(self, canvases: PixelBatch, looks: Looks) -> list[GateVerdict]:
        """Modality and quality of each image, before the model is asked."""
        rows = zip(canvases[:, 0], looks.squares, looks.answers, strict=True)
        return [self._before(canvas, square, answers) for canvas, square, answers in rows]

    def _before(self, canvas: Canvas, square: Canvas, answers: NDArray[np.float32]) -> GateVerdict:
        modality, quality = self.settings.modality, self.settings.quality
        return GateVerdict(
            modality=None if modality is None else modality_stage(answers, modality),
            quality=None if quality is None else quality_stage(canvas, square, answers, quality),
        )

    def after(self, features: Features, answers: IntArray) -> Sequence[GateStage | None]:
        """Familiarity of each image, whose most probable labels are `answers`."""
        settings = self.settings.familiarity
        if self.familiarity is None or settings is None:
            return [None] * len(features)
        scores = self.familiarity.scores(features, answers)
        return [
            _familiarity_stage(score, known)
            for score, known in zip(
                scores.tolist(), self.unfamiliar(scores, answers).tolist(), strict=True
            )
        ]

    def unfamiliar(self, scores: NDArray[np.float64], answers: IntArray) -> NDArray[np.bool_]:
        """`[image]`: whether images of these scores and answers are called unfamiliar."""
        return np.asarray(scores <= self.levels(answers) + 1e-12, dtype=np.bool_)

    def levels(self, answers: IntArray) -> NDArray[np.float64]:
        """`[image]`: share of the same population that is called unfamiliar, by the answer."""
        settings, familiarity = self.settings.familiarity, self.familiarity
        if settings is None or familiarity is None:
            return np.zeros(len(answers))
        return np.array([familiarity.least(int(one), settings.level) for one in answers])

    @property
    def abstains(self) -> bool:
        """Whether unfamiliar images are not answered."""
        settings = self.settings.familiarity
        return settings is not None and settings.unfamiliar == "abstain"


def _familiarity_stage(score: float, unfamiliar: bool) -> GateStage:
    if not unfamiliar:
        return GateStage("passed", score)
    reason = (
        f"is unfamiliar: {100 * (1 - score):.1f} % of the calibration images are more like the "
        "training images, and the stated performance may not hold"
    )
    return GateStage("warned", score, reason)
