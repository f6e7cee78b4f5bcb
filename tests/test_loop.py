"""The training loop on small networks: learning, stopping, resuming, averaging, refusing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pneumoscope.core.errors import StorageError, TrainingError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import (
    BalanceRecipe,
    LossRecipe,
    OptimizerRecipe,
    Phase,
    ProbePhase,
    RegularizeRecipe,
)
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.models.head import Head
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.loop import run_phase
from pneumoscope.training.losses import make_loss
from pneumoscope.training.optim import parameter_groups
from pneumoscope.training.plan import Epoch, Plan
from pneumoscope.training.sources import EmbeddingSource, Images


def clouds(seed: int = 0, noise: float = 1.5) -> EmbeddingSource:
    """Two overlapping clouds of embeddings, 3 views each."""
    rng = np.random.default_rng(seed)
    truth = np.array([0] * 150 + [1] * 50)
    centre = np.where(truth[:, None, None] > 0, 1.0, -1.0)
    values = torch.tensor(centre + rng.normal(0, noise, (200, 3, 8)), dtype=torch.float32)
    train = Images(tuple(f"i{row}" for row in range(200)), truth)
    validation = Images(tuple(f"v{row}" for row in range(50)), truth[::4])
    return EmbeddingSource(train, validation, values, values[::4, :1])


class Drop(nn.Module):
    """A head with dropout and batch normalisation: random and with statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )

    def forward(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.layers(embedding)
        return logits


def make(network: nn.Module, **changes: Any) -> Plan:
    phase: Phase = ProbePhase(epochs=30, batch_size=32, patience=5)

    def training_mode() -> None:
        network.train()

    groups = parameter_groups([(list(network.named_parameters()), 1.0)], 1e-2)
    groups = [{**group, "held": True} for group in groups]
    plan = Plan(
        name="probe",
        number=0,
        phase=phase,
        groups=groups,
        loss=make_loss(LossRecipe(), BalanceRecipe(), (150, 50)),
        score=lambda logits: float(logits.mean()),
        training_mode=training_mode,
        threads=1,
        optimizer=OptimizerRecipe(learning_rate=1e-2),
        regularize=RegularizeRecipe(),
        balance=BalanceRecipe(),
        seed=0,
    )
    return replace(plan, **changes)


def train(
    network: nn.Module, source: EmbeddingSource, folder: Path | None = None, **changes: Any
) -> list[Epoch]:
    return run_phase(
        network,
        source,
        make(network, **changes),
        checkpoints=Checkpoints(folder),
        world=World(),
        reporter=Silent(),
        on_epoch=lambda _: None,
    )


def new() -> nn.Module:
    with seeded(0, "network"):
        return Drop()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_it_learns_and_keeps_its_best_epoch() -> None:
    source, network = clouds(), new()
    history = train(network, source)
    losses = [epoch.validation_loss for epoch in history]
    best = int(np.argmin(losses))
    assert losses[0] > losses[best]
    assert len(history) == 30 or len(history) - 1 - best == 5
    with evaluating(network):
        logits = network(source.validation_values[:, 0])
    truth = torch.from_numpy(source.validation.truth)
    weight = torch.tensor([200 / 300, 200 / 100])
    found = float(functional.cross_entropy(logits, truth, weight=weight))
    assert found == pytest.approx(losses[best]), "the best epoch's parameters are kept"
    assert [epoch.best for epoch in history][best]


def test_the_auc_may_choose_the_epoch() -> None:
    scores = iter([0.5, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    phase = ProbePhase(epochs=9, batch_size=32, patience=5, monitor="validation_auc")
    history = train(new(), clouds(), phase=phase, score=lambda _: next(scores))
    assert [epoch.best for epoch in history] == [True, True, *[False] * 5]


def test_the_same_seed_trains_the_same_network_to_the_last_bit() -> None:
    networks = [new(), new(), new()]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        train(network, clouds(), seed=seed)
    one, again, other = map(state, networks)
    assert same(one, again)
    assert not same(one, other)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


class KilledAt:
    """A source that dies at a step."""

    def __init__(self, source: EmbeddingSource, step: int) -> None:
        self.source, self.left = source, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def inputs(self, items: Any, epoch: int) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.source.inputs(items, epoch)


OPTIMIZERS = [
    OptimizerRecipe(name="adamw", learning_rate=1e-2, clip_norm=1.0),
    OptimizerRecipe(name="sgd", learning_rate=1e-2),
    OptimizerRecipe(name="rmsprop", learning_rate=1e-3),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("every_step", [True, False])
def test_a_run_killed_anywhere_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: OptimizerRecipe, every_step: bool
) -> None:
    if every_step:
        monkeypatch.setattr("pneumoscope.training.loop._KEEP_SECONDS", 0.0)
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "phase": ProbePhase(epochs=6, batch_size=64, schedule="cosine", warmup=0.2),
        "regularize": RegularizeRecipe(mixup=0.3, average=0.9, towards_start=0.01),
    }
    whole = new()
    history = train(whole, clouds(), **changes)
    kills = np.random.default_rng(0).integers(0, 40, 20)
    for number, step in enumerate(kills):
        dying: Any = KilledAt(clouds(), int(step) if every_step else 9 + int(step) % 9)
        try:
            train(new(), dying, tmp_path, **changes)
        except Killed:
            continue
        assert number > 0
        break
    resumed = new()
    found = train(resumed, clouds(), tmp_path, **changes)
    assert same(state(whole), state(resumed))
    assert found == history


def test_a_finished_phase_is_not_trained_again(tmp_path: Path) -> None:
    network = new()
    history = train(network, clouds(), tmp_path)
    again = new()
    nothing: Any = KilledAt(clouds(), 0)
    assert train(again, nothing, tmp_path) == history
    assert same(state(network), state(again))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train(new(), clouds(), tmp_path)
    file = next(tmp_path.glob("phase-*"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"phase-0.safetensors: is damaged"):
        train(new(), clouds(), tmp_path)


def test_a_loss_that_is_not_finite_names_the_images() -> None:
    source = clouds()
    source.train_values[3] = math.inf
    with pytest.raises(TrainingError, match=r"probe, epoch 1: the loss is nan .*i3.*Lower the"):
        train(new(), source, phase=ProbePhase(epochs=2, batch_size=8))


def test_the_average_is_what_it_says() -> None:
    """Against torch's own averaged model, over the same steps."""
    source, network = clouds(), new()
    phase = ProbePhase(epochs=1, batch_size=100)
    train(network, source, phase=phase, regularize=RegularizeRecipe(average=0.5))
    plain = [new() for _ in range(6)]
    seen: list[dict[str, Tensor]] = []
    for steps, other in enumerate(plain, start=1):
        dying: Any = KilledAt(source, steps)
        try:
            train(other, dying, phase=ProbePhase(epochs=2, batch_size=100))
        except Killed:
            seen.append(state(other))
    expected = state(new())
    for now in seen:
        expected = {
            name: 0.5 * value + 0.5 * now[name] if value.is_floating_point() else now[name]
            for name, value in expected.items()
        }
    for name, value in state(network).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_towards_start_keeps_weights_near() -> None:
    def distance(strength: float) -> float:
        network, begin = new(), state(new())
        phase = ProbePhase(epochs=5, batch_size=64)
        sgd = OptimizerRecipe(name="sgd", learning_rate=1e-2, weight_decay=0)
        train(
            network,
            clouds(),
            phase=phase,
            optimizer=sgd,
            regularize=RegularizeRecipe(towards_start=strength),
        )
        learned = state(network)
        return sum(float((learned[name] - value).square().sum()) for name, value in begin.items())

    near, far = distance(5.0), distance(0.0)
    assert near < 0.5 * far


def test_what_is_not_held_is_not_pulled_towards_its_start() -> None:
    network, free = new(), new()
    loose = parameter_groups([(list(network.named_parameters()), 1.0)], 1e-2)
    phase = ProbePhase(epochs=2, batch_size=64)
    pull = RegularizeRecipe(towards_start=5.0)
    train(network, clouds(), groups=loose, phase=phase, regularize=pull)
    train(free, clouds(), phase=phase)
    assert same(state(network), state(free))


def test_a_run_goes_on_in_the_precision_it_began_with(tmp_path: Path) -> None:
    phase = ProbePhase(epochs=4, batch_size=64)
    whole, resumed = new(), new()
    train(whole, clouds(), phase=phase, precision="bfloat16")
    dying: Any = KilledAt(clouds(), 22)
    with pytest.raises(Killed):
        train(new(), dying, tmp_path, phase=phase, precision="bfloat16")
    train(resumed, clouds(), tmp_path, phase=phase, precision="float32")
    assert same(state(whole), state(resumed))


def test_stages_learn_at_their_own_rates() -> None:
    network = Head(8, 2, ())
    still = Head(8, 2, ())
    still.load_state_dict(network.state_dict())
    groups = parameter_groups([(list(network.named_parameters()), 1e-9)], 0.0, base_rate=1.0)
    train(network, clouds(), groups=groups, phase=ProbePhase(epochs=2, batch_size=64))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, still.state_dict()[name], rtol=0, atol=1e-6)


def test_oversampling_counts_images_not_views() -> None:
    class Counting(EmbeddingSource):
        seen: ClassVar[list[int]] = []

        def inputs(self, items: Any, epoch: int) -> Tensor:
            Counting.seen.extend(self.images.truth[items // self.repeats].tolist())
            return super().inputs(items, epoch)

    source = clouds()
    counting = Counting(
        source.images, source.validation, source.train_values, source.validation_values
    )
    balance = BalanceRecipe(method="oversample", to=100)
    train(new(), counting, balance=balance, phase=ProbePhase(epochs=1, batch_size=64))
    assert np.bincount(Counting.seen).tolist() == [300, 300]


def test_no_batch_of_one_image_is_left_over() -> None:
    class Sizes(EmbeddingSource):
        seen: ClassVar[list[int]] = []

        def inputs(self, items: Any, epoch: int) -> Tensor:
            Sizes.seen.append(len(items))
            return super().inputs(items, epoch)

    source = clouds()
    sizes = Sizes(source.images, source.validation, source.train_values, source.validation_values)
    train(new(), sizes, phase=ProbePhase(epochs=1, batch_size=599))
    assert Sizes.seen == [600]
