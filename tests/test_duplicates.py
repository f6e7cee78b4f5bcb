from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pneumoscope.core.progress import Silent
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue, usable
from pneumoscope.data.duplicates import Pair, connected_groups, find_duplicates
from pneumoscope.data.layouts import recognise
from pneumoscope.imaging.preprocess import Preprocess


def test_copies_are_found_whatever_their_files(tmp_path: Path, fresh_cache: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "data" / "A").mkdir(parents=True)
    for number in range(6):
        image = Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8))
        image.save(tmp_path / "data" / "A" / f"{number}.png")
        if number < 2:
            image.convert("RGB").save(tmp_path / "data" / "A" / f"copy{number}.png")
    pixels = PixelCache(Preprocess())
    catalogue = build_catalogue(recognise(tmp_path / "data"), pixels=pixels, reporter=Silent())
    ids = dict(usable(catalogue).select("path", "image_id").iter_rows())
    found = find_duplicates(list(ids.values()), pixels, reporter=Silent())
    expected = [sorted((ids[f"A/{n}.png"], ids[f"A/copy{n}.png"])) for n in range(2)]
    assert [[pair.first, pair.second] for pair in found] == sorted(expected)
    assert {pair.kind for pair in found} == {"exact"}


edges = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=40)


@given(pairs=edges, links=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=40))
def test_groups_are_connected_components(
    pairs: list[tuple[int, int]], links: list[tuple[int, int]]
) -> None:
    named = [Pair(f"i{a}", f"i{b}", "near", 0.9, mirrored=False) for a, b in pairs]
    linked = [(f"i{a}", f"p{b}") for a, b in links]
    groups = connected_groups(named, linked)
    graph = nx.Graph([(pair.first, pair.second) for pair in named] + linked)
    for component in nx.connected_components(graph):
        images = {node for node in component if node.startswith("i")}
        assert len({groups[image] for image in images}) == 1
    assert len(set(groups.values())) == nx.number_connected_components(graph)
    assert connected_groups(named[::-1], linked[::-1]) == groups


@pytest.mark.parametrize("name", ["patient", "image"])
def test_a_group_is_named_after_a_patient_if_one_is_known(name: str) -> None:
    pairs = [Pair("a", "b", "exact", 1.0, mirrored=False)]
    groups = connected_groups(pairs, [("b", "z")] if name == "patient" else [])
    assert groups == dict.fromkeys("ab", "z" if name == "patient" else "a")
