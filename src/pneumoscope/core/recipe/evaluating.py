"""The section about evaluation: intervals, calibration, operating points, label sets, shortcuts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pneumoscope.core.recipe.sections import Count, Fraction, Section

GroupColumn = Literal["source", "view", "sex", "age"]


class PointRecipe(Section):
    """How one operating point is chosen on the calibration split."""

    rule: Literal["youden", "sensitivity", "specificity", "cost"] = "youden"
    """Largest sensitivity + specificity; at least this sensitivity, or specificity, at the best of
    the other; or the least cost."""
    value: Annotated[float, Field(gt=0)] | None = None
    """Of the rate asked for, in (0, 1); for `cost`, how many false alarms one missed image is
    worth."""

    @model_validator(mode="after")
    def _has_its_value(self) -> PointRecipe:
        if (self.value is None) != (self.rule == "youden"):
            need = "takes no value" if self.rule == "youden" else "needs a value"
            raise ValueError(f"rule {self.rule} {need}")
        if self.rule in {"sensitivity", "specificity"} and (self.value or 0) >= 1:
            raise ValueError(f"value of {self.rule} must be below 1")
        return self


class LabelSetRecipe(Section):
    """Conformal label sets."""

    confidence_level: Fraction = 0.9
    """Wanted share of label sets that hold the true label."""
    score: Literal["lac", "aps"] = "lac"
    """Smallest sets, or sets that grow with the image's difficulty."""
    conditional: bool = True
    """Hold the level for every label, not only over all images."""
    assurance: Fraction | None = 0.8
    """How surely this calibration split's sets hold the level; null: on average over splits."""


class AuditRecipe(Section):
    """What could explain the figures besides disease: shortcuts and robustness."""

    enabled: bool = True
    """Whether any of it is done."""
    conditions: Count = 1000
    """Images at most that are answered with lungs only, removed and swapped."""
    corruptions: Annotated[int, Field(ge=0)] = 200
    """Images at most that are answered corrupted, 25 times each; 0 leaves it out."""
    saliency: Annotated[int, Field(ge=0)] = 100
    """Images at most whose saliency is scored; 0 leaves it out."""


class GateRecipe(Section):
    """What a bundle checks of an image before it answers."""

    enabled: bool = True
    """Whether the bundle has a gate at all."""
    unfamiliar: Literal["mark", "abstain"] = "mark"
    """What becomes of an image unlike the training images: answered with a warning, or not."""
    level: Fraction = 0.015
    """Share of images of the same population that is called unfamiliar."""
    images: Annotated[int, Field(ge=50, le=2000)] = 1000
    """Training images at most that are remembered to be compared with."""


class EvaluateRecipe(Section):
    """How every figure is reached."""

    resamples: Annotated[int, Field(ge=100)] = 2000
    """Of patients, for intervals."""
    confidence_level: Fraction = 0.95
    """Of the intervals."""
    calibrator: Literal["auto", "temperature", "vector", "isotonic"] = "auto"
    """`auto` takes the temperature unless another is clearly better in cross-validation."""
    label_of_interest: str | None = None
    """The label that operating points are for; null takes every label but the normal one."""
    operating_points: tuple[PointRecipe, ...] = (
        PointRecipe(),
        PointRecipe(rule="sensitivity", value=0.95),
        PointRecipe(rule="specificity", value=0.95),
    )
    """Thresholds that are chosen, promised and then measured."""
    label_sets: LabelSetRecipe | None = LabelSetRecipe()
    """Null makes none."""
    wanted_risk: Fraction | None = 0.05
    """Share of wrong answers that the abstention threshold keeps to; null leaves it out."""
    prevalence: Fraction | None = None
    """Of the label of interest where the model will be used: predictive values, thresholds of least
    cost and the decision curve are given for it."""
    cost_ratios: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (5.0, 20.0)
    """Where a prevalence is given: how many false alarms one missed image is worth; for each, the
    threshold of least cost at that prevalence is added to the operating points."""
    groups: tuple[GroupColumn, ...] = ("source", "view", "sex", "age")
    """Columns whose values are measured apart."""
    age_edges: tuple[Annotated[int, Field(ge=1, le=150)], ...] = (18, 40, 65, 80)
    """First year of every age band but the lowest."""
    permutations: Count = 999
    """Of the test for a shift between calibration and test split."""
    audit: AuditRecipe = AuditRecipe()
    known_images: Literal["keep", "drop", "refuse"] = "keep"
    """What `evaluate` does with images that the bundle was trained on, exactly or nearly: an
    external test refuses them."""
