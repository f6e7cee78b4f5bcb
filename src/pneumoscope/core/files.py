"""Files that are either whole or absent: write to a temporary name, then rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pneumoscope.core.errors import InputError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
    errno.ENAMETOOLONG, errno.ENXIO, errno.ENOTEMPTY,
}  # fmt: skip


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate the operating system's refusals to write at `path` into `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = f"{path}: the disk is full ({error.strerror}). Free space or choose another"
            raise StorageError(f"{message} place (--output, PNEUMOSCOPE_CACHE).") from error
        if error.errno not in _REFUSED:
            raise
        message = f"{path}: cannot be written ({error.strerror or error}). Choose a folder you may"
        raise StorageError(f"{message} write to (--output, PNEUMOSCOPE_CACHE).") from error


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it becomes `path` only if the block ends well.

    Args:
        path: To be replaced.
        mode: Who may read and write it; until then only its owner may.

    Raises:
        StorageError: the place cannot be written or is full; nothing is left behind.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


@contextmanager
def staged_folder(output: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `output`; it becomes `output` only if the block ends well.

    Raises:
        StorageError: `output` holds something already, cannot be written, or the disk is full.
    """
    with storage_errors(output):
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise StorageError(f"{output}: exists already. Choose another --output or remove it.")
        output.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(
            tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent)
        )
    try:
        yield stage
        with storage_errors(output):
            stage.chmod(0o755)
            if output.exists():
                output.rmdir()
            stage.replace(output)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def is_there(path: Path) -> bool:
    """Whether something is at `path`.

    Raises:
        InputError: the way there cannot be searched.
    """
    try:
        return path.exists()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be reached ({reason}). Give another path.") from error


def paths_of(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """The paths given, one or several.

    >>> [path.name for path in paths_of("folder/a.png")]
    ['a.png']
    """
    return [Path(one) for one in ([given] if isinstance(given, (str, Path)) else given)]


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as text that can be shown and stored, whatever bytes it is made of."""
    return os.fspath(name).encode("utf8", "backslashreplace").decode("utf8")


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of `content`.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where decoded pixels, embeddings and downloads are kept.

    `PNEUMOSCOPE_CACHE`, else `XDG_CACHE_HOME/pneumoscope`, else `~/.cache/pneumoscope`. Deleting
    it loses nothing but time.
    """
    if chosen := os.environ.get("PNEUMOSCOPE_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pneumoscope"
