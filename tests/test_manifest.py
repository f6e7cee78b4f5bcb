from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pneumoscope.core.errors import LayoutError, RecipeError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import Entry, recognise
from pneumoscope.data.layouts.values import age_in_years, sex_or_none, view_or_none


def put(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(path: Path, *rows: Sequence[str]) -> Path:
    with path.open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number, name in enumerate(
        ("a.png", "b.png", "images/c.png", "images/d.png", "masks/a.png")
    ):
        put(root / name, number)
    return root


def test_every_column_reaches_the_catalogue(folder: Path, fresh_cache: Path) -> None:
    write(
        folder / "table.csv",
        ["Filename", "Finding", "Patient ID", "Study", "Split", "Projection", "Gender", "Age",
         "Hospital", "Mask", "Width", "Height", "Format"],
        ["a.png", "Pneumonia", "p1", "s1", "val", "AP Supine", "female", "060Y", "H1",
         "masks/a.png", "20", "30", "PNG"],
        ["images/c.png", "pneumonia", "p2", "", "7", "Axial", "O", "50+", "", "masks/x.png"],
    )  # fmt: skip
    listing = recognise(folder)
    assert listing.layout == "manifest"
    assert "path from 'Filename', label from 'Finding'" in listing.why
    first, second = listing.entries
    assert first == Entry(
        "a.png", "Pneumonia", "validation", "p1", "s1", "H1", "AP", "F", 60.0, "masks/a.png"
    )
    assert second == Entry("images/c.png", "Pneumonia", None, "p2")
    assert listing.surplus == ("b.png", "images/d.png")
    assert listing.declared is not None
    assert listing.declared.row(0) == ("a.png", 20, 30, "png", "Pneumonia")
    assert listing.notes == (
        "1 rows with a split that is none of train, val, test: left unknown",
        "1 rows whose mask is not there: left unknown",
    )
    row = build_catalogue(listing, pixels=None, reporter=Silent()).row(0, named=True)
    told = {name: row[name] for name in ("study_id", "source", "view", "sex", "age", "mask_path")}
    assert told == {
        "study_id": "s1", "source": "H1", "view": "AP", "sex": "F", "age": 60.0,
        "mask_path": "masks/a.png",
    }  # fmt: skip
    assert (row["split"], row["patient_id"], row["width"]) == ("validation", "p1", 16)


def test_columns_can_be_named_and_left_out(folder: Path) -> None:
    table = write(folder / "t.csv", ["x", "y", "sex"], ["a.png", "N", "M"], ["b.png", "P", "F"])
    with pytest.raises(
        LayoutError, match=r"as path or label; there are 'x', 'y', 'sex'.*data\.columns\.path=x"
    ):
        recognise(folder)
    named = {"path": "x", "label": "y", "sex": ""}
    for place in (folder, table):
        listing = recognise(place, columns=named)
        assert [(entry.label, entry.sex) for entry in listing.entries] == [("N", None), ("P", None)]
    with pytest.raises(LayoutError, match="has no column 'z'"):
        recognise(table, columns=named | {"age": "z"})
    with pytest.raises(LayoutError, match="'colour' is no catalogue column; allowed: path"):
        recognise(table, columns={"colour": "x"})


def test_a_column_that_may_be_either_is_asked_for(folder: Path) -> None:
    write(folder / "t.csv", ["file", "label", "diagnosis"], ["a.png", "N", "x"])
    with pytest.raises(
        LayoutError, match=r"'label', 'diagnosis' may each be the label.*data\.columns\.label=label"
    ):
        recognise(folder)
    assert recognise(folder, columns={"label": "diagnosis"}).entries[0].label == "x"


def test_rows_without_a_label_or_file(folder: Path) -> None:
    write(
        folder / "t.csv",
        ["file", "label"],
        ["a.png", ""], ["b.png", "nan"], ["images/c.png", "None"], ["gone.png", "N"], ["", "N"],
    )  # fmt: skip
    listing = recognise(folder)
    assert [(entry.path, entry.label) for entry in listing.entries] == [("images/c.png", "None")]
    assert listing.missing == ("gone.png",)
    assert "a.png" not in listing.surplus
    assert listing.notes == (
        "1 rows without a file name are left out",
        "1 rows whose file is not there are left out",
        "2 rows without a label are left out",
    )


def test_an_image_in_several_rows_is_one_and_with_two_labels_none(
    folder: Path, fresh_cache: Path
) -> None:
    rows = [["a.png", "N"], ["a.png", "N"], ["b.png", "N"], ["b.png", "P"]]
    write(folder / "t.csv", ["file", "label"], *rows)
    catalogue = build_catalogue(recognise(folder), pixels=None, reporter=Silent())
    assert catalogue["path"].to_list() == ["a.png", "b.png", "b.png"]
    assert catalogue["excluded"].to_list()[0] is None
    assert catalogue["excluded"].to_list()[1:] == ["identical copies carry different labels"] * 2


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png", "/etc/x.png", "images/../../secret.png", "C:\\x.png", "..\\secret.png",
        "link.png", "out/secret.png", "..",
    ],
)  # fmt: skip
def test_paths_that_leave_the_folder_are_refused(path: str, folder: Path) -> None:
    put(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "out").symlink_to(folder.parent, target_is_directory=True)
    table = write(folder / "t.csv", ["file", "label"], ["a.png", "N"], [path, "N"])
    with pytest.raises(LayoutError, match=r"row 3: .* leaves the folder"):
        recognise(table)
    write(table, ["file", "label", "mask"], ["a.png", "N", path])
    with pytest.raises(LayoutError, match=r"row 2: .* leaves the folder"):
        recognise(table)


def test_links_and_detours_inside_the_folder_are_allowed(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "a.png")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    table = write(
        folder / "t.csv", ["file", "label"], ["link.png", "N"], ["images\\..\\b.png", "N"],
        ["./images//c.png", "N"],
    )  # fmt: skip
    listing = recognise(table)
    assert [entry.path for entry in listing.entries] == ["link.png", "b.png", "images/c.png"]


def test_names_without_folder_or_extension_find_their_one_file(folder: Path) -> None:
    put(folder / "masks" / "d.png", 9)
    table = write(
        folder / "t.csv", ["file", "label"], ["b", "N"], ["c.png", "N"], ["c", "P"], ["d.png", "N"]
    )
    listing = recognise(table)
    assert [entry.path for entry in listing.entries] == ["b.png", "images/c.png", "images/c.png"]
    assert listing.missing == ("d.png",), "two files of that name: none is guessed"


@pytest.mark.parametrize("encoding", ["utf8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(encoding: str, delimiter: str, folder: Path) -> None:
    put(folder / "Köln.png")
    lines = [f"file{delimiter}Größe{delimiter}label", f"Köln.png{delimiter}1{delimiter}Ödem"]
    (folder / "t.csv").write_bytes("\r\n".join(lines).encode(encoding))
    listing = recognise(folder)
    assert [(entry.path, entry.label) for entry in listing.entries] == [("Köln.png", "Ödem")]


def test_quotes_and_what_excel_puts_before_the_heading(folder: Path) -> None:
    (folder / "t.csv").write_text('sep=;\n\nfile;label\na.png;"Pneu;\nmonia"\n\nb.png\n')
    assert [entry.label for entry in recognise(folder).entries] == ["Pneu; monia"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no column is recognised as path or label; there are none"),
        (b"file,label\na.png,N,extra\n", "row 2 has 3 cells"),
        (b'file,label\n"a.png,N\n', "row 2 cannot be read"),
        (b"file,label\n" + b"x" * 200_000 + b",N\n", "row 2 cannot be read"),
        (b"file,label\n", "names no image"),
        (b"file,label\n\x00\x01", "is not text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text"),
        (b"file,label\na\x07.png,N\n", "is no file name"),
    ],
)
def test_bad_tables_give_a_reason(content: bytes, reason: str, folder: Path) -> None:
    (folder / "t.csv").write_bytes(content)
    with pytest.raises(LayoutError, match=reason) as caught:
        recognise(folder / "t.csv")
    assert len(str(caught.value).splitlines()) == 1


def test_parquet(folder: Path) -> None:
    table = pl.DataFrame(
        {"path": ["a.png", "b.png", "images/c.png"], "label": [0.0, 1.0, None],
         "patient": [7, 8, 9], "age": [3.5, None, 2.0]}
    )  # fmt: skip
    table.write_parquet(folder / "t.parquet")
    listing = recognise(folder)
    found = [(entry.path, entry.label, entry.patient_id, entry.age) for entry in listing.entries]
    assert found == [("a.png", "0", "7", 3.5), ("b.png", "1", "8", None)]


def test_mutated_parquet_files_are_read_or_refused_in_one_line(folder: Path) -> None:
    path = folder / "t.parquet"
    pl.DataFrame({"path": ["a.png"] * 50, "label": ["N"] * 50}).write_parquet(path)
    content = path.read_bytes()
    generator = np.random.default_rng(3)
    refused: list[str] = []
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 4):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            recognise(path)
        except LayoutError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert not any("\n" in reason for reason in refused)


def test_a_parquet_file_of_six_million_rows_is_refused_unread(folder: Path) -> None:
    rows = pl.repeat("a.png", 6_000_000, eager=True)
    pl.DataFrame({"path": rows, "label": rows}).write_parquet(folder / "t.parquet")
    with pytest.raises(LayoutError, match="6000000 rows"):
        recognise(folder / "t.parquet")


def test_several_tables_are_named_and_one_without_columns_is_passed_over(folder: Path) -> None:
    write(folder / "one.csv", ["file", "label"], ["a.png", "N"])
    write(folder / "notes.csv", ["remark"], ["x"])
    assert "one.csv" in recognise(folder).why
    write(folder / "two.csv", ["file", "label"], ["a.png", "N"])
    with pytest.raises(LayoutError, match=r"\(one\.csv, two\.csv\): give one"):
        recognise(folder)


def test_a_folder_called_images_is_no_label(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png")
    put(tmp_path / "images_2" / "b.png")
    with pytest.raises(LayoutError, match="their names are no labels"):
        recognise(tmp_path)
    write(tmp_path / "metadata.csv", ["filename", "finding"], ["a.png", "N"], ["b.png", "P"])
    assert [entry.path for entry in recognise(tmp_path).entries] == [
        "images/a.png", "images_2/b.png",
    ]  # fmt: skip


def test_label_folders_with_a_table_fit_twice(folder: Path) -> None:
    write(folder / "t.csv", ["file", "label"], ["a.png", "N"])
    put(folder / "N" / "x.png")
    with pytest.raises(LayoutError, match=r"fits several layouts: class_folders .*; manifest "):
        recognise(folder)
    assert recognise(folder, layout="manifest").layout == "manifest"
    assert recognise(folder, columns={"path": "file"}).layout == "manifest"


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        ("50", 50.0), ("060Y", 60.0), ("4 months", 4 / 12), ("018M", 1.5), ("2 yrs", 2.0),
        ("003W", 21 / 365.25), ("10d", 10 / 365.25), ("60,5", 60.5), ("0", 0.0),
        ("50+", None), ("67+", None), ("mid 50s", None), ("40-50", None), ("414Y", None),
        ("-3", None), ("", None), ("nan", None), ("1e2", None), ("adult", None), ("٣٤", None),
    ],
)  # fmt: skip
def test_ages(cell: str, years: float | None) -> None:
    assert age_in_years(cell) == (pytest.approx(years) if years is not None else None)


@pytest.mark.parametrize(
    ("cell", "view"),
    [
        ("PA", "PA"), ("pa view", "PA"), ("postero-anterior", "PA"), ("AP erect", "AP"),
        ("AP Supine", "AP"), ("Antero Posterior", "AP"), ("portable AP", "AP"), ("L", "LATERAL"),
        ("Lateral", "LATERAL"), ("left lateral", "LATERAL"), ("LL", "LATERAL"), ("Frontal", None),
        ("PA/LAT", None), ("AP LLD", None), ("Axial", None), ("", None), ("1", None),
    ],
)  # fmt: skip
def test_views(cell: str, view: str | None) -> None:
    assert view_or_none(cell) == view


def test_sexes() -> None:
    assert [sex_or_none(cell) for cell in ("m", "Male", "F", "woman", "O", "1", "")] == [
        "M", "M", "F", "F", None, None, None,
    ]  # fmt: skip


def test_the_recipe_takes_columns_and_refuses_others() -> None:
    recipe = override(Recipe(), {"data.columns.path": "filename", "data.source": "H1"})
    assert (recipe.data.columns, recipe.data.source) == ({"path": "filename"}, "H1")
    with pytest.raises(RecipeError, match="columns"):
        override(Recipe(), {"data.columns.colour": "filename"})


@pytest.mark.data
def test_the_real_inbox(data_folder: Path) -> None:
    listing = recognise(data_folder / "inbox")
    assert listing.layout == "manifest"
    assert listing.declared is not None
    assert listing.declared.height == 40
    assert len(listing.entries) == 30
    assert listing.notes == ("10 rows without a label are left out",)
    assert (listing.missing, listing.surplus) == ((), ())
    by_path = {entry.path: entry for entry in listing.entries}
    assert by_path["COVID-00001.jpg"] == Entry(
        "COVID-00001.jpg", "COVID-19", None, "COVID-00001", view="AP", sex="M", age=33.0
    )
    assert by_path["COVID-00021.jpg"].age is None, "50+ is no age"
