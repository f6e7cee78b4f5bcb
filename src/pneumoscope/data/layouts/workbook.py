"""Rows of an Excel workbook, read so that a hostile one costs a reason, not the machine.

openpyxl in its streaming mode: rows are counted while they come, where readers that first lay out
the whole sheet can be made to ask for terabytes by two cells in opposite corners.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from pneumoscope.core.errors import DependencyError, LayoutError

_MAX_FILE_BYTES = 32 * 2**20
_MAX_UNPACKED_BYTES = 256 * 2**20
_MAX_ROWS = 200_000
_MAX_COLUMNS = 64


def workbook_rows(path: Path) -> list[tuple[str, ...]]:
    """The rows of the first sheet as stripped text, the heading first; an empty cell is `""`.

    Raises:
        LayoutError: the file is no workbook, or larger than is read.
        DependencyError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise DependencyError(
            f"{path}: reading .xlsx needs openpyxl. Install it: pip install openpyxl."
        ) from error
    try:
        # Given a path, openpyxl leaves the file open where it fails; it also warns of styles.
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
            _require_modest(path, file)
            with closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book:
                sheet = book.worksheets[0]
                # One beyond the limit, to tell a full sheet from a longer one.
                cells = sheet.iter_rows(
                    max_row=_MAX_ROWS + 1, max_col=_MAX_COLUMNS, values_only=True
                )
                return list(_texts(path, cells))
    except LayoutError:
        raise
    except Exception as error:  # openpyxl has no error of its own: whatever it meets passes through
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LayoutError(
            f"{path}: is not a readable workbook ({reason}). Save it again or remove it."
        ) from error


def _require_modest(path: Path, file: BinaryIO) -> None:
    if (size := path.stat().st_size) > _MAX_FILE_BYTES:
        raise LayoutError(
            f"{path}: {size} bytes; at most {_MAX_FILE_BYTES} are read. Save the columns needed as "
            "CSV."
        )
    with zipfile.ZipFile(file) as archive:
        # zipfile stops at the size an entry declares, so the declared sizes are the true bound.
        unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > _MAX_UNPACKED_BYTES:
        raise LayoutError(
            f"{path}: unpacks to {unpacked} bytes; at most {_MAX_UNPACKED_BYTES} are read. "
            "Remove it."
        )


def _texts(path: Path, rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[str, ...]]:
    for number, row in enumerate(rows, 1):
        if number > _MAX_ROWS:
            raise LayoutError(
                f"{path}: more than {_MAX_ROWS} rows; at most that many are read. Save it as CSV."
            )
        texts = tuple(_text(cell) for cell in row)
        if any(texts):
            yield texts


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).split())
