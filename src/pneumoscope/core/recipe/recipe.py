"""The whole recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pneumoscope.core.recipe.evaluating import EvaluateRecipe, GateRecipe
from pneumoscope.core.recipe.learning import (
    BalanceRecipe,
    ComputeRecipe,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Phase,
    ProbePhase,
    RegularizeRecipe,
)
from pneumoscope.core.recipe.sections import (
    AugmentRecipe,
    DataRecipe,
    PreprocessRecipe,
    Section,
    SplitRecipe,
)


class TrackingRecipe(Section):
    """Where the run is kept beside its folder."""

    enabled: bool = True
    """Whether MLflow is told of the run."""
    experiment: str = "pneumoscope"
    """How the experiment's name begins."""
    images: bool = True
    """Whether what tells of single images goes along: the report, which shows radiographs, and the
    tables, which hold paths and numbers of patients."""


class CardRecipe(Section):
    """What the model card says that no table of the run tells."""

    population: str | None = None
    """Whom the training images show, and so whom the model may be asked about."""
    limits: tuple[str, ...] = ()
    """What it is known to do badly, a sentence each."""
    tried: tuple[str, ...] = ()
    """What else was tried before this recipe was chosen, a sentence each, with figures."""


class Recipe(Section):
    """A whole experiment."""

    name: str = Field(default="pneumoscope", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Of the run, its folder and its bundle."""
    licence: str | None = None
    """Of the model, as model hubs spell it: apache-2.0, cc-by-4.0."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of everything random."""
    data: DataRecipe = DataRecipe()
    split: SplitRecipe = SplitRecipe()
    preprocess: PreprocessRecipe = PreprocessRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    model: ModelRecipe = ModelRecipe()
    balance: BalanceRecipe = BalanceRecipe()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=8)] = (ProbePhase(),)
    """What is trained, one after the other."""
    loss: LossRecipe = LossRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    regularize: RegularizeRecipe = RegularizeRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    gate: GateRecipe = GateRecipe()
    card: CardRecipe = CardRecipe()
    tracking: TrackingRecipe = TrackingRecipe()
    compute: ComputeRecipe = ComputeRecipe()

    @model_validator(mode="after")
    def _balances_once(self) -> Recipe:
        if self.loss.name == "logit_adjusted" and self.balance.method == "class_weights":
            raise ValueError(
                "loss.name: logit_adjusted and balance.method: class_weights both correct for "
                "imbalance; set balance.method to none"
            )
        return self
