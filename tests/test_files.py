from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import printable, replacing, staged_folder, storage_errors, write_text
from pneumoscope.core.randomness import derive_seed, generator, unit_hash
from pneumoscope.core.tables import save_csv, save_parquet


def test_a_broken_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_broken_run_leaves_no_folder(tmp_path: Path) -> None:
    output = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), staged_folder(output) as stage:
        (stage / "half").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_appears_whole(tmp_path: Path) -> None:
    output = tmp_path / "run"
    with staged_folder(output) as stage:
        (stage / "whole").write_text("x")
        assert not output.exists()
    assert [file.name for file in output.iterdir()] == ["whole"]


def test_an_output_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with (
        pytest.raises(StorageError, match=r"exists already\. Choose another"),
        staged_folder(tmp_path),
    ):
        pass
    assert (tmp_path / "kept").read_text() == "x"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses to grow a file beyond the limit, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"disk is full.*Free space"):
            write_text(tmp_path / "big", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "x")


def test_errors_of_reading_are_not_called_storage() -> None:
    with pytest.raises(FileNotFoundError), storage_errors(Path("x")):
        Path("/nonexistent").read_bytes()


def test_names_separate_random_streams() -> None:
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert derive_seed(1, "a") != derive_seed(0, "a")
    assert generator(3, "x").integers(1 << 40) == generator(3, "x").integers(1 << 40)
    assert 0 <= unit_hash(0, "p") < 1


@pytest.mark.parametrize("save", [save_csv, save_parquet])
def test_a_table_on_a_full_disk_is_said(
    save: Callable[[pl.DataFrame, Path], None], tmp_path: Path
) -> None:
    table = pl.DataFrame({"a": [str(i) * 50 for i in range(1000)]})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="disk is full"):
            save(table, tmp_path / "table")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_any_bytes_can_be_shown() -> None:
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\udce9.png"
    assert printable(Path("b.png")) == "b.png"
