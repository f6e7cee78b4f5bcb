"""What a bundle's gate goes by: the `gate` of `bundle.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pneumoscope.bundle.spec import Part
from pneumoscope.core.errors import BundleError

Chance = Annotated[float, Field(ge=0, le=1)]


class ModalitySettings(Part):
    """Probabilities of being a chest radiograph below which an image is refused, or warned of."""

    refuse: Chance = 0.6
    warn: Chance = 0.9


class QualitySettings(Part):
    """From which probability a fault is warned of, and from which the image is refused for it."""

    inverted: Chance = 0.5
    inverted_refuse: Chance = 0.99
    turned: Chance = 0.8
    turned_refuse: Chance = 0.99
    cut_off: Chance = 0.8
    lateral: float = 0.25
    """Below this contrast of the middle with both sides, see `imaging.thumbnail`."""


class FamiliaritySettings(Part):
    """When an image is unlike the training images, and what follows."""

    level: Chance = 0.015
    """Share of the images of the calibration split that would be called unfamiliar too."""
    unfamiliar: Literal["mark", "abstain"] = "mark"


class GateSettings(Part):
    """All stages; a stage that is None does not look."""

    version: Literal[1] = 1
    modality: ModalitySettings | None = ModalitySettings()
    quality: QualitySettings | None = QualitySettings()
    familiarity: FamiliaritySettings | None = FamiliaritySettings()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> GateSettings:
        """The settings in a bundle's specification.

        Raises:
            BundleError: a field is missing, unknown or out of range.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, ("gate", *first["loc"])))
            raise BundleError(
                f"bundle.json: {where}: {first['msg']}. Export the bundle again."
            ) from error
