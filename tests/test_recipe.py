from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe import Dense, Recipe, dump_recipe, load_recipe, override, parse_recipe

RECIPES = Path(__file__).parents[1] / "recipes"


def test_a_written_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = override(Recipe(), {"model.head": [{"dropout": 0.3}, {"dense": 128}], "seed": 7})
    file = tmp_path / "recipe.yaml"
    file.write_text(dump_recipe(recipe))
    assert load_recipe(file) == recipe
    assert recipe.model.head[1] == Dense(dense=128, activation="relu")


def test_every_default_is_spelled_out() -> None:
    text = dump_recipe(Recipe())
    for field in Recipe.model_fields:
        assert f"{field}:" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"sed": 1}, r"unknown key 'sed'; did you mean 'seed'\?"),
        ({"model": {"bacbone": "x"}}, r"model: unknown key 'bacbone'; did you mean 'backbone'\?"),
        (
            {"phases": [{"kind": "probe", "view": 2}]},
            r"phases\.0: unknown key 'view'; did you mean 'views'\?",
        ),
        ({"split": {"test": 2}}, r"split\.test: .*less than 1 \(given: 2\)"),
        ({"split": {"test": 0.5, "validation": 0.4}}, "must leave 0.1 or more"),
        ({"phases": []}, "phases: "),
        ({"phases": [{"view": 2}]}, r"phases\.0: give `kind`: probe or fine_tune"),
        ({"model": {"head": [{"dens": 2}]}}, r"model\.head\.0: a layer is one of dropout, dense"),
        (
            {"model": {"head": [{"dense": 2, "activatoin": "relu"}]}},
            r"model\.head\.0: unknown key 'activatoin'; did you mean 'activation'\?",
        ),
        ({"model": {"head": [{"dense": 0}]}}, r"model\.head\.0\.dense: .*\(given: 0\)"),
        ({"split": {"folds": 3, "fold": 3}}, r"fold must be below folds \(3\)"),
        ({"split": {"folds": 3, "file": "x"}}, "one of file, folds, leave_out_source"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_remedy(content: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        parse_recipe(content)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1, 2", "a: !!python/object:os.system {}\n"])
def test_a_file_that_is_no_recipe_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_an_override_of_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="did you mean 'backbone'"):
        override(Recipe(), {"model.backbon": "x"})
    with pytest.raises(RecipeError, match="did you mean 'model'"):
        override(Recipe(), {"modl.backbone": "x"})


def test_the_recipe_that_ships_is_the_default() -> None:
    assert load_recipe(RECIPES / "default.yaml") == Recipe()


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_that_ships_is_one(file: Path) -> None:
    recipe = load_recipe(file)
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe
