"""The recipe: one frozen model that says a whole experiment, and the one home of defaults.

A recipe written back after a run, all defaults spelled out, repeats that run. Unknown keys are
refused with the closest known one.
"""

from __future__ import annotations

from pneumoscope.core.recipe.evaluating import (
    AuditRecipe,
    EvaluateRecipe,
    GateRecipe,
    LabelSetRecipe,
    PointRecipe,
)
from pneumoscope.core.recipe.files import (
    dump_recipe,
    load_recipe,
    override,
    parse_recipe,
    recipe_of,
    save_recipe,
)
from pneumoscope.core.recipe.learning import (
    Activation,
    BalanceRecipe,
    BatchNorm,
    ComputeRecipe,
    Dense,
    Dropout,
    FineTunePhase,
    HeadLayer,
    LayerNorm,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Phase,
    ProbePhase,
    RegularizeRecipe,
    ScheduleName,
)
from pneumoscope.core.recipe.recipe import Recipe, TrackingRecipe
from pneumoscope.core.recipe.sections import (
    AugmentRecipe,
    CatalogueColumn,
    DataRecipe,
    PreprocessRecipe,
    Section,
    SplitRecipe,
)

__all__ = [
    "Activation",
    "AuditRecipe",
    "AugmentRecipe",
    "BalanceRecipe",
    "BatchNorm",
    "CatalogueColumn",
    "ComputeRecipe",
    "DataRecipe",
    "Dense",
    "Dropout",
    "EvaluateRecipe",
    "FineTunePhase",
    "GateRecipe",
    "HeadLayer",
    "LabelSetRecipe",
    "LayerNorm",
    "LossRecipe",
    "ModelRecipe",
    "OptimizerRecipe",
    "Phase",
    "PointRecipe",
    "PreprocessRecipe",
    "ProbePhase",
    "Recipe",
    "RegularizeRecipe",
    "ScheduleName",
    "Section",
    "SplitRecipe",
    "TrackingRecipe",
    "dump_recipe",
    "load_recipe",
    "override",
    "parse_recipe",
    "recipe_of",
    "save_recipe",
]
