from __future__ import annotations

import os
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import openpyxl
import polars as pl
import pytest
from PIL import Image

from pneumoscope.core.errors import LayoutError
from pneumoscope.core.progress import Silent
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.data.layouts.workbook import workbook_rows

SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def put(path: Path, size: int = 16, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def put_metadata(path: Path, *rows: tuple[str | None, ...]) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (("FILE NAME", "FORMAT", "SIZE", "URL"), *rows):
        sheet.append(list(row))
    book.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in (1, 2, 3):
        put(root / "Normal" / "images" / f"Normal-{number}.png", 20, number)
        put(root / "Viral Pneumonia" / "images" / f"Viral Pneumonia-{number}.png", 20, 9 + number)
    put(root / "Normal" / "masks" / "Normal-1.png", 17)
    put(root / "Normal" / "masks" / "NORMAL-2_mask.PNG", 17)
    put(root / "Normal" / "masks" / "Normal-77.png", 17)
    (root / "README.md.txt").write_text("x")
    page = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
    put_metadata(
        root / "Normal.metadata.xlsx",
        ("NORMAL-1", "PNG", "256*256", page),
        ("NORMAL - 2", "PNG", "256 x 256", "sirm.org/category/covid-19"),
        ("NORMAL-4", "PNG", "256*256", "not an address"),
        (None, None, None, None),
    )
    put_metadata(
        root / "Viral_pneumonia.metadata.xlsx",
        *((f"Viral Pneumonia-{number}", "PNG", None, None) for number in (1, 2, 3)),
    )
    return root


def test_masks_are_found_by_name_and_are_no_images(folder: Path) -> None:
    listing = recognise(folder)
    assert listing.layout == "radiography_database"
    assert "2 images with a mask" in listing.why
    masks = {entry.path: entry.mask_path for entry in listing.entries}
    assert len(masks) == 6
    assert masks["Normal/images/Normal-1.png"] == "Normal/masks/Normal-1.png"
    assert masks["Normal/images/Normal-2.png"] == "Normal/masks/NORMAL-2_mask.PNG"
    assert masks["Normal/images/Normal-3.png"] is None
    assert listing.notes == ("1 masks without an image, for example Normal/masks/Normal-77.png",)


def test_metadata_find_their_files_whatever_case_and_spaces(folder: Path) -> None:
    listing = recognise(folder)
    assert listing.declared is not None
    assert listing.declared.filter(pl.col("label") == "Normal").rows() == [
        ("Normal/images/Normal-1.png", 256, 256, "png", "Normal"),
        ("Normal/images/Normal-2.png", 256, 256, "png", "Normal"),
        ("Normal/images/NORMAL-4.png", 256, 256, "png", "Normal"),
    ]
    assert listing.missing == ("Normal/images/NORMAL-4.png",)
    assert listing.surplus == ("Normal/images/Normal-3.png",)
    sources = {entry.path: entry.source for entry in listing.entries}
    assert sources["Normal/images/Normal-1.png"] == "kaggle.com"
    assert sources["Normal/images/Normal-2.png"] == "sirm.org"
    assert sources["Viral Pneumonia/images/Viral Pneumonia-1.png"] is None


def test_the_catalogue_has_masks_and_sources(folder: Path, fresh_cache: Path) -> None:
    catalogue = build_catalogue(recognise(folder, source="here"), pixels=None, reporter=Silent())
    assert catalogue["mask_path"].drop_nulls().len() == 2
    assert sorted(catalogue["source"].unique()) == ["here", "kaggle.com", "sirm.org"]
    assert catalogue["excluded"].null_count() == 6


def test_without_metadata_nothing_is_declared(folder: Path) -> None:
    for file in folder.glob("*.xlsx"):
        file.unlink()
    listing = recognise(folder)
    assert (listing.declared, listing.missing, listing.surplus) == (None, (), ())


def test_names_that_are_no_text_are_said_in_text(folder: Path) -> None:
    (folder / "Normal" / "images" / os.fsdecode(b"\xff.png")).touch()
    (folder / "Normal" / "masks" / os.fsdecode(b"\xff.png")).touch()
    listing = recognise(folder)
    assert listing.surplus[-1].encode() == b"Normal/images/\\udcff.png"
    assert listing.entries[-4].mask_path == "Normal/masks/\\udcff.png"


def test_metadata_of_no_label_are_said(folder: Path) -> None:
    put_metadata(folder / "Other.metadata.xlsx", ("Other-1", "PNG", "1*1", None))
    assert "Other.metadata.xlsx belongs to no label folder" in recognise(folder).notes


def test_an_empty_images_folder_is_a_near_miss(tmp_path: Path) -> None:
    (tmp_path / "COVID" / "images").mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"radiography_database, but COVID/images is empty"):
        recognise(tmp_path)


def workbook_of(path: Path, cells: str) -> Path:
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
        f'<Override PartName="/xl/s.xml" ContentType="{types}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {SHEET} xmlns:r="{OFFICE}"><sheets><sheet name="S" '
        'sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="s.xml"/></Relationships>',
        "xl/s.xml": f"<worksheet {SHEET}><sheetData>{cells}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def test_two_cells_in_opposite_corners_do_not_cost_the_machine(tmp_path: Path) -> None:
    """Laid out whole, this sheet of 1 kB has 17 billion cells."""
    rows = f'<row r="1">{cell("A1", "FILE NAME")}</row>'
    rows += f'<row r="1048576">{cell("XFD1048576", "x")}</row>'
    with pytest.raises(LayoutError, match="more than 200000 rows"):
        workbook_rows(workbook_of(tmp_path / "corner.xlsx", rows))


def test_a_workbook_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"xl/{number}.xml", bytes(60 * 2**20))
    with pytest.raises(LayoutError, match="at most 268435456 are read"):
        workbook_rows(path)


def test_nested_entities_are_refused(tmp_path: Path) -> None:
    path = workbook_of(tmp_path / "laughs.xlsx", f'<row r="1">{cell("A1", "&amp;")}</row>')
    names = "abcdefghij"
    entities = '<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in pairwise(names)
    )
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    content["xl/s.xml"] = f"<!DOCTYPE w [{entities}]>" + content["xl/s.xml"].replace("&amp;", "&j;")
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    with pytest.raises(LayoutError, match="not a readable workbook"):
        workbook_rows(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"FILE NAME;FORMAT\n"])
def test_a_file_that_is_no_workbook_is_refused(content: bytes, folder: Path) -> None:
    (folder / "Normal.metadata.xlsx").write_bytes(content)
    with pytest.raises(LayoutError, match=r"Normal\.metadata\.xlsx: is not a readable workbook"):
        recognise(folder)


def test_mutated_workbooks_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "good.xlsx"
    put_metadata(path, *((f"NORMAL-{number}", "PNG", "256*256", None) for number in range(20)))
    content = path.read_bytes()
    generator = np.random.default_rng(7)
    refused: list[str] = []
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 12):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            workbook_rows(path)
        except LayoutError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in reason for reason in refused)


@pytest.mark.data
def test_the_real_folder(data_folder: Path) -> None:
    listing = recognise(data_folder / "radiography")
    assert listing.layout == "radiography_database"
    assert len(listing.entries) == 4400
    masked = [entry for entry in listing.entries if entry.mask_path]
    assert len(masked) == 1400
    assert {entry.label for entry in masked} == {"Bacterial Pneumonia", "Viral Pneumonia"}
    assert not listing.notes
    for entry in masked:
        assert Path(entry.mask_path or "").stem == Path(entry.path).stem
