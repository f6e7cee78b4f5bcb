"""A folder of radiographs becomes a folder of lung masks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from pneumoscope.cli.segment import segment as command
from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.lung_masks import dice
from pneumoscope.data.phantoms import render_phantom
from pneumoscope.imaging.lungs import lung_mask
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.models.lungs import LungNetwork, LungSegmenter
from pneumoscope.workflows.segmenting import TABLE, segment


class Upper(LungSegmenter):
    """Calls the upper half of every canvas lung."""

    def __init__(self, *, rows: int = 112) -> None:
        super().__init__(LungNetwork())
        self.rows = rows

    def segment(self, canvases: PixelBatch) -> NDArray[np.bool_]:
        found = np.zeros((len(canvases), *canvases.shape[2:]), dtype=np.bool_)
        found[:, : self.rows] = True
        return found


def write_grey(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.tile(np.arange(width) % 251, (height, 1)).astype(np.uint8)
    Image.fromarray(grey).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    write_grey(data / "NORMAL/wide.png", 60, 200)
    write_grey(data / "PNEUMONIA/tall.jpeg", 300, 100)
    return data


def read_mask(path: Path) -> NDArray[np.bool_]:
    return lung_mask(read_radiograph(path))


def test_phantoms_get_their_lungs(tmp_path: Path) -> None:
    phantoms = [render_phantom(seed=seed, label="PNEUMONIA", size=150) for seed in range(40, 46)]
    for index, phantom in enumerate(phantoms):
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(phantom.image).save(tmp_path / "data" / f"{index}.png")
    result = segment(tmp_path / "data", tmp_path / "out")
    found = [read_mask(tmp_path / "out" / f"{index}.png") for index in range(6)]
    scores = [
        float(dice(mask, phantom.lungs)) for mask, phantom in zip(found, phantoms, strict=True)
    ]
    assert np.mean(scores) >= 0.92
    assert [one.lung_area for one in result.images] == pytest.approx(
        [mask.mean() for mask in found]
    )
    assert not result.left_out


def test_masks_have_their_images_size_one_bit_and_place(folder: Path, tmp_path: Path) -> None:
    segment(folder, tmp_path / "out", segmenter=Upper())
    wide, tall = tmp_path / "out/NORMAL/wide.png", tmp_path / "out/PNEUMONIA/tall.png"
    for path, height, width in ((wide, 60, 200), (tall, 300, 100)):
        with Image.open(path) as stored:
            assert stored.mode == "1"
        expected = np.zeros((height, width), dtype=np.bool_)
        expected[: height // 2] = True
        assert np.array_equal(read_mask(path), expected)


def test_deep_and_single_images_are_taken(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 80 * 90).reshape(80, 90).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    result = segment(tmp_path / "deep.png", tmp_path / "out", segmenter=Upper())
    assert [one.path for one in result.images] == ["deep.png"]
    assert read_mask(tmp_path / "out/deep.png").shape == (80, 90)


def test_what_cannot_be_used_costs_a_line(folder: Path, tmp_path: Path) -> None:
    (folder / "NORMAL/broken.png").write_bytes(b"no image")
    told = Silent()
    result = segment(folder, tmp_path / "out", segmenter=Upper(), reporter=told)
    assert [one.path for one in result.left_out] == ["NORMAL/broken.png"]
    assert len(told.warnings) == 1
    assert "broken.png: no mask: " in told.warnings[0]
    assert not (tmp_path / "out/NORMAL/broken.png").exists()
    rows = list(csv.DictReader((tmp_path / "out" / TABLE).read_text().splitlines()))
    assert [row["path"] for row in rows] == [one.path for one in result.images]
    assert [row["mask_path"] for row in rows] == ["", "NORMAL/wide.png", "PNEUMONIA/tall.png"]
    assert float(rows[1]["lung_area"]) == 0.5


def test_a_picture_without_lungs_has_no_mask(folder: Path, tmp_path: Path) -> None:
    result = segment(folder, tmp_path / "out", segmenter=Upper(rows=0))
    assert [one.lung_area for one in result.images] == [0, 0]
    assert all("no lung found" in str(one.reason) for one in result.left_out)
    assert len(result.left_out) == 2
    assert not list((tmp_path / "out").rglob("*.png"))


def test_masks_and_earlier_output_are_passed_over(folder: Path) -> None:
    write_grey(folder / "NORMAL/masks/wide.png", 60, 200)
    (folder / "out").mkdir()
    result = segment(folder, folder / "out", segmenter=Upper())
    assert [one.path for one in result.images] == ["NORMAL/wide.png", "PNEUMONIA/tall.jpeg"]


def test_more_images_than_fit_at_once_keep_their_order(tmp_path: Path) -> None:
    for index in range(70):
        write_grey(tmp_path / "data" / f"{index:03d}.png", 10 + index, 20)
    result = segment(tmp_path / "data", tmp_path / "out", segmenter=Upper())
    assert [one.path for one in result.images] == [f"{index:03d}.png" for index in range(70)]
    heights = [read_mask(tmp_path / "out" / f"{index:03d}.png").shape[0] for index in range(70)]
    assert heights == list(range(10, 80))


def test_what_cannot_be_done_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="does not exist"):
        segment(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(InputError, match="no image found"):
        segment(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(StorageError, match="exists already"):
        segment(folder, folder.parent, segmenter=Upper())
    write_grey(folder / "NORMAL/wide.jpg", 20, 20)
    with pytest.raises(InputError, match="one name"):
        segment(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_a_summary_or_json(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke(app, [str(folder), "--output", str(tmp_path / "a"), "--json"])
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.exit_code == 0
    assert [row["path"] for row in rows] == [
        "broken.png", "NORMAL/wide.png", "PNEUMONIA/tall.jpeg"
    ]  # fmt: skip
    assert set(rows[0]) == {"path", "mask_path", "lung_area", "reason"}
    run = CliRunner().invoke(app, [str(folder), "--output", str(tmp_path / "b")])
    assert run.exit_code == 0
    assert "without a mask" in run.stdout
    assert str(tmp_path / "b") in run.stdout.replace("\n", "")
