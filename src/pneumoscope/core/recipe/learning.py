"""Sections about the model and how it learns."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from pneumoscope.core.recipe.sections import Count, Rate, Section

Activation: TypeAlias = Literal["relu", "leaky_relu", "elu", "gelu", "tanh", "linear"]
ScheduleName: TypeAlias = Literal["constant", "cosine", "one_cycle", "plateau"]


class Dropout(Section):
    """A head layer that drops a fraction of its inputs while training."""

    dropout: Annotated[float, Field(ge=0, lt=1)]
    """The fraction."""


class Dense(Section):
    """A fully connected head layer."""

    dense: Annotated[int, Field(ge=1, le=65_536)]
    """How many outputs it has."""
    activation: Activation = "relu"
    """What follows it."""


class BatchNorm(Section):
    """A head layer that normalises each feature over the batch; written `batch_norm: true`."""

    batch_norm: Literal[True]


class LayerNorm(Section):
    """A head layer that normalises each embedding over its features; `layer_norm: true`."""

    layer_norm: Literal[True]


def _kind_of_layer(layer: Any) -> str | None:
    """The layer's own key, which tells its kind: `{dense: 128}` is a dense layer."""
    if isinstance(layer, Section):
        layer = layer.model_dump()
    names = [name for name in HEAD_LAYERS if isinstance(layer, dict) and name in layer]
    return names[0] if len(names) == 1 else None


HEAD_LAYERS: dict[str, type[Section]] = {
    "dropout": Dropout,
    "dense": Dense,
    "batch_norm": BatchNorm,
    "layer_norm": LayerNorm,
}
HeadLayer: TypeAlias = Annotated[
    Annotated[Dropout, Tag("dropout")]
    | Annotated[Dense, Tag("dense")]
    | Annotated[BatchNorm, Tag("batch_norm")]
    | Annotated[LayerNorm, Tag("layer_norm")],
    Discriminator(_kind_of_layer),
]


class ModelRecipe(Section):
    """Backbone, where its weights come from, and the head put on it."""

    backbone: str = "tf_efficientnet_lite0"
    """A timm name, a name people know (DenseNet121), or a small network (lenet5)."""
    width: Annotated[float, Field(gt=0, le=4)] | None = None
    """Width multiplier, for backbones that come in several (MobileNetV2: 0.35 to 1.4)."""
    weights: str = "imagenet"
    """`imagenet`, `none`, `file:PATH` (.safetensors or .pth), or `xrv:NAME`."""
    pooling: Literal["avg", "max", "avgmax", "gem", "flatten"] = "avg"
    """Feature maps to embedding; avgmax is the mean of both, gem the generalised mean (p = 3,
    learned), flatten keeps every position."""
    head: tuple[HeadLayer, ...] = (Dropout(dropout=0.2),)
    """Layers before the last linear one, which is added for the label set."""
    test_views: Annotated[int, Field(ge=1, le=16)] = 1
    """Fixed views whose logits are averaged when answering: the plain one, then small turns, shifts
    and zooms; part of the exported graph."""
    rounding: Literal["none", "bfloat16"] = "none"
    """What weights are rounded to after training, before anything is fitted or measured: bfloat16's
    8 significant bits halve what a zipped bundle takes."""


class BalanceRecipe(Section):
    """What is done about labels of unequal frequency."""

    method: Literal["none", "class_weights", "oversample", "undersample"] = "class_weights"
    """Weights in the loss, or drawing every label's training images up to the largest or down to
    the smallest label."""
    to: Count | None = None
    """Images per label instead, for oversample and undersample."""


class _Phase(Section):
    kind: Literal["probe", "fine_tune"]
    """Which of the two."""
    epochs: Count
    """At most."""
    batch_size: Count
    """Images per step."""
    learning_rate: Rate | None
    """Null takes `optimizer.learning_rate`."""
    schedule: ScheduleName
    """How the learning rate goes on after the warmup."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of all steps over which the learning rate rises from nothing."""
    patience: Count
    """Epochs without a better value of `monitor` before stopping."""
    monitor: Literal["validation_loss", "validation_auc"] = "validation_loss"
    """What tells the best epoch, whose weights are kept."""


class ProbePhase(_Phase):
    """Train the head on cached embeddings of a frozen backbone."""

    kind: Literal["probe"] = "probe"
    views: Annotated[int, Field(ge=1, le=64)] = 3
    """Views of each training image: the first plain, the others augmented."""
    epochs: Count = 60
    batch_size: Count = 256
    learning_rate: Rate | None = None
    schedule: ScheduleName = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Count = 10


class FineTunePhase(_Phase):
    """Train the head together with the last stages of the backbone, or all of it."""

    kind: Literal["fine_tune"] = "fine_tune"
    last: Literal["all"] | Annotated[int, Field(ge=1, le=1000)] = 2
    """How many of the backbone's stages are trained, counted from its output."""
    views: Annotated[int, Field(ge=0, le=64)] = 3
    """Views of each training image whose activations at the cut are cached, the first plain; 0
    caches nothing and draws a new view every epoch, as training all stages does."""
    cache_gib: Annotated[float, Field(ge=0)] = 8.0
    """Disk that cached activations may take; beyond it they are computed again every epoch."""
    epochs: Count = 10
    batch_size: Count = 32
    learning_rate: Rate | None = 2e-4
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Each stage learns at this times the rate of the next one towards the output."""
    schedule: ScheduleName = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    patience: Count = 5
    batch_norm: Literal["auto", "frozen", "train"] = "auto"
    """Statistics of the backbone's batch normalisation: kept as they are, or learned from the
    batches; auto keeps them, unless all stages are trained from random weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of what is trained; weights stay float32. `auto` as for `compute.precision`."""


PHASES: dict[str, type[Section]] = {"probe": ProbePhase, "fine_tune": FineTunePhase}
Phase: TypeAlias = Annotated[ProbePhase | FineTunePhase, Field(discriminator="kind")]


class LossRecipe(Section):
    """What training minimises."""

    name: Literal["cross_entropy", "focal", "logit_adjusted"] = "cross_entropy"
    """Focal: Lin et al. 2017; logit-adjusted: Menon et al. 2021."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the target that is spread evenly over all labels."""
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """Focusing of the focal loss."""
    tau: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Strength of the logit adjustment."""


class OptimizerRecipe(Section):
    """How training minimises it."""

    name: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    """Which algorithm."""
    learning_rate: Rate = 1e-3
    """For phases that have none of their own."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Of matrices and filters; biases and normalisation are left alone when fine-tuning."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd and rmsprop."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Largest norm of all gradients together; 0 does not clip."""


class RegularizeRecipe(Section):
    """What keeps a network from learning its training images by heart."""

    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Alpha of the Beta distribution that two images are mixed by; 0 mixes none."""
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Alpha of the Beta distribution of the part that is pasted in; only from pixels."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of the exponential moving average that is kept instead of the last weights;
    0 keeps no average."""
    towards_start: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of half the squared distance of backbone weights from where they started (L2-SP)."""


class ComputeRecipe(Section):
    """How the work is done; it may change the last digits, never the meaning."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of what is not trained. `auto` times a few steps once per machine and remembers."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """What computes it. `auto` takes OpenVINO on processors where there is enough to compute."""
    batch_size: Count = 32
    """Where nothing is learned: embedding, caching, predicting."""
    compile: bool = False
    """torch.compile the steps: minutes to start with, sometimes faster after that."""
