"""The text of a CSV or Parquet table, read within limits and whatever its encoding."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pneumoscope.core.errors import LayoutError

EXTENSIONS = (".csv", ".tsv", ".parquet")

_MAX_TEXT_BYTES = 128 * 2**20
_MAX_UNPACKED_BYTES = 2**30
_MAX_ROWS = 5_000_000
_DELIMITERS = (",", ";", "\t", "|")
_HEADING_BYTES = 64 * 2**10


def heading(path: Path) -> tuple[str, ...]:
    """Names of the columns, stripped, in order.

    Raises:
        LayoutError: the file is no such table.
    """
    if path.suffix.lower() == ".parquet":
        return tuple(str(name).strip() for name in _parquet(path).schema_arrow.names)
    return _heading(path, _text(path, _HEADING_BYTES))


def table_rows(path: Path, places: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """The cells of the columns at `places` in `heading`, row by row, as stripped text.

    An empty or null cell is `""`.

    Raises:
        LayoutError: the table is damaged or larger than is read; the line is named.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path, places)
    return _csv_rows(path, places)


def _heading(path: Path, text: str) -> tuple[str, ...]:
    lines = _after_preamble(text)
    try:
        row = next(csv.reader(lines, delimiter=_delimiter(text)), [])
    except csv.Error as error:
        raise LayoutError(
            f"{path}: the first line is not a heading ({error}). Name the columns there."
        ) from error
    return tuple(name.strip() for name in row)


def _csv_rows(path: Path, places: Sequence[int]) -> Iterator[tuple[str, ...]]:
    if (size := path.stat().st_size) > _MAX_TEXT_BYTES:
        raise LayoutError(
            f"{path}: {size} bytes; at most {_MAX_TEXT_BYTES} are read. Keep the columns needed."
        )
    text = _text(path, None)
    names = _heading(path, text)
    reader = csv.reader(_after_preamble(text), delimiter=_delimiter(text), strict=True)
    try:
        next(reader)
        for row in reader:
            if len(row) > len(names) and any(row[len(names) :]):
                raise LayoutError(
                    f"{path}: row {reader.line_num} has {len(row)} cells, the heading "
                    f"{len(names)}. Quote the cells that hold the delimiter."
                )
            if row:
                yield tuple(row[place].strip() if place < len(row) else "" for place in places)
    except csv.Error as error:
        raise LayoutError(
            f"{path}: row {reader.line_num} cannot be read ({error}). Correct it."
        ) from error


def _text(path: Path, limit: int | None) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(-1 if limit is None else limit)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LayoutError(f"{path}: cannot be read ({reason}). Allow it.") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise LayoutError(f"{path}: is not text. Give a CSV or Parquet table.")
    try:
        # A letter cut in two at the limit is no reason to take another encoding.
        return content.decode("utf-8-sig") if limit is None else _cut_utf8(content)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _cut_utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(content) - 3:
            raise
        return content[: error.start].decode("utf-8-sig")


def _after_preamble(text: str) -> Iterator[str]:
    """The lines from the heading on: Excel may put `sep=;` and people blank lines before it."""
    lines = io.StringIO(text, newline="")
    for line in lines:
        if line.strip() and not line.lower().startswith("sep="):
            yield line
            break
    yield from lines


def _delimiter(text: str) -> str:
    line = next(_after_preamble(text), "")
    counts = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: counts[mark])


def _parquet(path: Path) -> Any:
    import pyarrow.lib  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError, pyarrow.lib.ArrowException) as error:
        raise _no_parquet(path, error) from error
    metadata = file.metadata
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if metadata.num_rows > _MAX_ROWS or size > _MAX_UNPACKED_BYTES:
        raise LayoutError(
            f"{path}: {metadata.num_rows} rows of {size} bytes; at most {_MAX_ROWS} rows of "
            f"{_MAX_UNPACKED_BYTES} bytes are read. Keep the columns needed."
        )
    return file


def _parquet_rows(path: Path, places: Sequence[int]) -> Iterator[tuple[str, ...]]:
    import pyarrow.lib

    file = _parquet(path)
    wanted = [file.schema_arrow.names[place] for place in places]
    try:
        for batch in file.iter_batches(batch_size=8192, columns=wanted):
            cells = [batch.column(name).to_pylist() for name in wanted]
            yield from (tuple(_cell(value) for value in row) for row in zip(*cells, strict=True))
    except (OSError, ValueError, pyarrow.lib.ArrowException) as error:
        raise _no_parquet(path, error) from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf8", errors="replace").strip()
    return str(value).strip()


def _no_parquet(path: Path, error: Exception) -> LayoutError:
    reason = " ".join(str(error).split())[:200]
    return LayoutError(f"{path}: is not a readable Parquet file ({reason}). Write it again.")
