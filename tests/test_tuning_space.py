from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe import FineTunePhase, ProbePhase, Recipe
from pneumoscope.core.recipe.space import Choices, Range, load_space, parse_space

RECIPE = Recipe(phases=(ProbePhase(), FineTunePhase()))


def write(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf8")
    return path


def test_a_space_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}\n"
        "phases.1.last: [1, 2, all]\n"
        "preprocess.size: {low: 160, high: 250, step: 32}\n"
        "optimizer.weight_decay: [0, 1e-4, 1.0e-2]\n"
        "model.head: {choices: [[{dropout: 0.2}], [{dense: 128}, {dropout: 0.5}]]}\n",
    )
    space = load_space(path, RECIPE)
    rate, size = space.fields["optimizer.learning_rate"], space.fields["preprocess.size"]
    assert isinstance(rate, Range)
    assert isinstance(size, Range)
    assert (rate.ends, rate.whole, rate.values) == ((1e-5, 1e-2), False, None)
    assert size.values == (160, 192, 224)
    assert space.fields["optimizer.weight_decay"].values == (0, 1e-4, 1e-2)
    head = space.fields["model.head"].values
    assert head is not None
    point = {"phases.1.last": "all", "model.head": head[1], "optimizer.learning_rate": 1e-3}
    found = space.apply(RECIPE, point)
    phase = found.phases[1]
    assert isinstance(phase, FineTunePhase)
    assert phase.last == "all"
    assert found.model.model_dump()["head"][0] == {"dense": 128, "activation": "relu"}
    assert found.optimizer.learning_rate == 1e-3


def test_fields_decide_whether_numbers_are_whole() -> None:
    space = parse_space(
        {"model.test_views": {"low": 1, "high": 4}, "augment.zoom": {"low": 0, "high": 0.9}}, RECIPE
    )
    assert space.fields["model.test_views"].values == (1, 2, 3, 4)
    assert space.fields["augment.zoom"].values is None


def test_the_grid_holds_every_point_once() -> None:
    space = parse_space(
        {"phases.1.last": [1, 2], "augment.rotation": {"low": 0, "high": 10, "step": 5}}, RECIPE
    )
    assert space.size == 6
    assert len({tuple(space.point(number).values()) for number in range(6)}) == 6
    assert parse_space({"augment.zoom": {"low": 0, "high": 0.5}}, RECIPE).size is None


def test_the_recipe_is_found_in_its_space_or_not() -> None:
    space = parse_space(
        {"augment.rotation": {"low": 0, "high": 10}, "model.pooling": ["avg", "max"]}, RECIPE
    )
    assert space.start(RECIPE) == {"augment.rotation": 8.0, "model.pooling": "avg"}
    other = parse_space({"model.pooling": ["gem", "max"]}, RECIPE)
    assert other.start(RECIPE) is None


def test_fingerprints_tell_spaces_apart() -> None:
    one = {"augment.zoom": [0.0, 0.1], "loss.name": ["focal", "cross_entropy"]}
    same = dict(reversed(one.items()))
    assert parse_space(one, RECIPE).fingerprint == parse_space(same, RECIPE).fingerprint
    other = {**one, "augment.zoom": [0.0, 0.2]}
    assert parse_space(one, RECIPE).fingerprint != parse_space(other, RECIPE).fingerprint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"optimizer.learning_rat": [1, 2]}, "did you mean optimizer.learning_rate"),
        ({"learning_rate": [1, 2]}, "did you mean phases.0.learning_rate or"),
        ({"phases.2.last": [1, 2]}, r"'phases.2.last' is no field of this recipe; did you mean"),
        ({"optimizer.learning_rate": {"low": 0.0, "high": 1}}, "0.0 cannot be taken: .*greater"),
        ({"phases.1.last": [1, 0]}, "phases.1.last: 0 cannot be taken"),
        ({"model.pooling": ["avg", "mean"]}, "mean cannot be taken: .*'avg', 'max'"),
        ({"augment.zoom": {"low": 0.5, "high": 0.1}}, r"low \(0.5\) must be below high \(0.1\)"),
        ({"augment.zoom": {"low": 0, "high": 0.1, "log": True}}, "log needs low above 0"),
        ({"augment.zoom": {"low": 0, "high": 0.1, "step": 1}}, "step .* must fit"),
        ({"augment.zoom": {"low": 0, "hihg": 0.1}}, "hihg|high"),
        ({"augment.zoom": {"low": 0, "high": 0.1, "steps": 1}}, "unknown key 'steps'; allowed"),
        ({"model.test_views": {"low": 1, "high": 4.5}}, "whole numbers only"),
        ({"augment.zoom": 0.1}, "0.1 is no range"),
        ({"augment.zoom": [0.1]}, "at least 2"),
        ({"augment.zoom": [0.1, 0.1]}, "given twice"),
        ({"split.test": [0.1, 0.2]}, "decides what is measured"),
        ({"seed": [1, 2]}, "decides what is measured"),
        ({"loss": [{"name": "focal"}, {}], "loss.gamma": [1, 2]}, "lies within loss"),
        ({}, "names no field"),
        (["augment.zoom"], "names no field"),
    ],
)
def test_what_is_no_space_is_refused_with_the_reason(content: Any, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        parse_space(content, RECIPE, origin="space.yaml")
    assert str(caught.value).startswith("space.yaml: ")


def test_files_that_are_no_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is not YAML"):
        load_space(write(tmp_path, "a: [1, 2"), RECIPE)
    with pytest.raises(RecipeError, match="cannot be read"):
        load_space(tmp_path / "absent.yaml", RECIPE)


def test_values_that_only_go_with_others_are_left_to_the_trial() -> None:
    space = parse_space({"loss.name": ["cross_entropy", "logit_adjusted"]}, RECIPE)
    assert isinstance(space.fields["loss.name"], Choices)
    with pytest.raises(RecipeError, match="both correct"):
        space.apply(RECIPE, {"loss.name": "logit_adjusted"})


def test_a_learning_rate_that_no_phase_takes_is_refused() -> None:
    recipe = Recipe(phases=(FineTunePhase(),))
    content = {"optimizer.learning_rate": [1e-3, 1e-2]}
    with pytest.raises(RecipeError, match=r"every phase has .* Vary phases.0.learning_rate"):
        parse_space(content, recipe)
    assert parse_space(content, Recipe(phases=(FineTunePhase(learning_rate=None),))).size == 2
