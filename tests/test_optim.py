from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from pneumoscope.core.recipe import OptimizerRecipe, ScheduleName
from pneumoscope.training.optim import Schedule, make_optimizer, parameter_groups, plateau_factor

SCHEDULES: tuple[ScheduleName, ...] = ("constant", "cosine", "one_cycle", "plateau")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))


class Placed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
        self.weight = nn.Parameter(torch.ones(2, 2))


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("adamw", torch.optim.AdamW, {}),
        ("adam", torch.optim.Adam, {}),
        ("rmsprop", torch.optim.RMSprop, {"momentum"}),
        ("sgd", torch.optim.SGD, {"momentum", "nesterov"}),
    ],
)
def test_each_optimizer_is_torchs_with_the_recipes_numbers(
    name: Any, kind: type[torch.optim.Optimizer], own: set[str], momentum: float
) -> None:
    recipe = OptimizerRecipe(name=name, learning_rate=0.02, weight_decay=0.3, momentum=momentum)
    optimizer = make_optimizer(recipe, [{"params": list(network().parameters()), "scale": 0.5}])
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"], group["scale"]) == (0.02, 0.3, 0.5)
    expected = {"momentum": momentum, "nesterov": momentum > 0}
    assert {key: group[key] for key in own} == {key: expected[key] for key in own}


def test_groups_split_what_decays_and_keep_their_rates() -> None:
    body, head, placed = network(), nn.Linear(2, 3), Placed()
    body[0].requires_grad_(requires_grad=False)
    groups = parameter_groups(
        [
            (list(body.named_parameters()), 0.025),
            (list(head.named_parameters()), 0.1),
            (list(placed.named_parameters()), 0.05),
        ],
        0.3,
    )
    found = [(g["lr"], g["scale"], g["weight_decay"], len(g["params"])) for g in groups]
    assert found == [
        (0.025, 0.25, 0.3, 1),
        (0.025, 0.25, 0.0, 3),
        (0.1, 1.0, 0.3, 1),
        (0.1, 1.0, 0.0, 1),
        (0.05, 0.5, 0.3, 1),
        (0.05, 0.5, 0.0, 1),
    ]
    assert groups[0]["params"][0] is body[3].weight
    assert groups[2]["params"][0] is head.weight
    assert groups[5]["params"][0] is placed.pos_embed
    optimizer = make_optimizer(OptimizerRecipe(weight_decay=9.0), groups)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.3, 0.0] * 3
    assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in groups]


def test_groups_without_parameters_are_left_out_and_a_base_may_be_named() -> None:
    head = list(nn.Linear(2, 3, bias=False).named_parameters())
    (group,) = parameter_groups([(head, 0.1), ([], 0.2)], 0.3, base_rate=0.4)
    assert group["scale"] == pytest.approx(0.25)
    assert parameter_groups([], 0.3) == []


def torchs_rates(make: Any, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


def ours(schedule: Schedule) -> list[float]:
    return [schedule.rate(step) for step in range(schedule.steps)]


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_cosine_is_torchs_down_to_a_hundredth(steps: int) -> None:
    expected = torchs_rates(
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=steps - 1, eta_min=0.01), steps
    )
    assert ours(Schedule("cosine", steps)) == pytest.approx(expected, abs=1e-9)
    assert expected[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("steps", [10, 37, 100])
def test_one_cycle_is_torchs(steps: int) -> None:
    expected = torchs_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o,
            max_lr=1.0,
            total_steps=steps,
            pct_start=0.3,
            div_factor=25,
            final_div_factor=1e4 / 25,
            cycle_momentum=False,
        ),
        steps,
    )
    assert ours(Schedule("one_cycle", steps)) == pytest.approx(expected, abs=1e-9)
    assert expected[0] == pytest.approx(1 / 25)
    assert expected[-1] == pytest.approx(1e-4)


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.floats(0, 0.99), st.integers(0, 50))
def test_every_schedule_rises_to_where_it_begins_and_stays_in_bounds(
    name: ScheduleName, steps: int, warmup: float, beyond: int
) -> None:
    schedule = Schedule(name, steps, warmup)
    rates = ours(schedule)
    assert all(0 < rate <= 1 for rate in rates)
    warm = int(warmup * steps)
    rises = [after - before for before, after in pairwise(rates[: warm + 1])]
    assert rises == pytest.approx([rates[0]] * warm), "linear, from nothing"
    assert schedule.rate(steps + beyond) == rates[-1]
    if name in ("constant", "plateau"):
        assert set(rates[warm + 1 :]) <= {1.0}


def test_after_the_warm_up_the_schedule_has_the_remaining_steps() -> None:
    for name in SCHEDULES:
        warmed, plain = ours(Schedule(name, 100, 0.2)), ours(Schedule(name, 80))
        assert warmed[20:] == plain
        assert warmed[9] == pytest.approx(plain[0] * 10 / 21)


VALUES = st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, -1.0, math.nan, math.inf])


@given(st.lists(VALUES, max_size=25), st.booleans())
def test_the_plateau_is_torchs(history: list[float], lower_is_better: bool) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="min" if lower_is_better else "max",
        factor=0.3,
        patience=2,
        threshold=0,
        threshold_mode="abs",
        eps=0,
    )
    for value in history:
        scheduler.step(value)
    expected = optimizer.param_groups[0]["lr"]
    assert plateau_factor(history, lower_is_better=lower_is_better) == pytest.approx(expected)


def test_three_epochs_without_a_better_value_are_a_plateau() -> None:
    falling = [0.9, 0.8, 0.8, 0.81]
    assert plateau_factor(falling, lower_is_better=True) == 1
    assert plateau_factor([*falling, 0.8], lower_is_better=True) == pytest.approx(0.3)
    assert plateau_factor([*falling, 0.8, 0.7], lower_is_better=True) == pytest.approx(0.3)
    assert plateau_factor(falling, lower_is_better=False) == pytest.approx(0.3)
    assert plateau_factor([], lower_is_better=True) == 1
