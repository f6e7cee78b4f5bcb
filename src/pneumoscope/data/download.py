"""Data sets the program can fetch: where they are, whose they are, and a download that resumes.

A download grows as `<file>.part` and takes its name only once its checksum is right, so a file
that has its name is whole. A cut connection leaves the part; the next call goes on from there.
"""

from __future__ import annotations

import difflib
import hashlib
import http.client
import math
import re
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from pneumoscope._version import __version__
from pneumoscope.core.errors import DownloadError
from pneumoscope.core.files import storage_errors
from pneumoscope.core.progress import Reporter

_CHUNK = 2**18
_LARGEST = 4 * 2**30
"""Bytes written at most where the size of a data set is not known."""


@dataclass(frozen=True)
class DataSet:
    """One published file and what a user should know before using it."""

    name: str
    title: str
    url: str
    file_name: str
    md5: str
    bytes: int | None
    """Size, roughly; null where it is not known."""
    licence: str
    citation: str


DATA_SETS = (
    DataSet(
        name="pneumoniamnist_224",
        title="PneumoniaMNIST 224: paediatric chest radiographs, NORMAL or PNEUMONIA",
        url="https://zenodo.org/records/10519652/files/pneumoniamnist_224.npz?download=1",
        file_name="pneumoniamnist_224.npz",
        md5="d6a3c71de1b945ea11211b03746c1fe1",
        bytes=214_000_000,
        licence="CC BY 4.0",
        citation=(
            "Yang et al., MedMNIST v2, Scientific Data 10:41 (2023),"
            " doi:10.1038/s41597-022-01721-8; images of Kermany et al., Cell 172:1122 (2018),"
            " doi:10.1016/j.cell.2018.02.010"
        ),
    ),
)
"""Every data set that `fetch` knows."""


def find_data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        DownloadError: there is none; the closest name is given.
    """
    known = {data_set.name: data_set for data_set in DATA_SETS}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else "See `pneumoscope data`."
    raise DownloadError(f"{name!r} is no known data set; known: {', '.join(known)}. {hint}")


def fetch(data_set: DataSet, *, folder: Path, reporter: Reporter, timeout: float = 10.0) -> Path:
    """The data set's file in `folder`, checksum verified, downloaded unless it is there.

    Args:
        data_set: what to fetch, over https (http from this machine only).
        folder: made if absent.
        reporter: shown the progress.
        timeout: seconds without an answer or new bytes before giving up.

    Raises:
        DownloadError: no network, refused, cut short (the next call goes on), too large, or not
            the published content (removed).
        StorageError: the folder cannot be written or the disk is full.
    """
    _check_url(data_set.url, allow_loopback=True)
    job = _Job(data_set, folder / data_set.file_name, reporter, timeout)
    if job.target.is_file():
        if _md5(job.target) == data_set.md5:
            return job.target
        reporter.warn(f"{job.target}: MD5 is not the published one; fetching it again.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _download(job)
    _verify(job)
    with storage_errors(job.target):
        job.part.replace(job.target)
    return job.target


@dataclass(frozen=True)
class _Job:
    """One call of `fetch`."""

    data_set: DataSet
    target: Path
    reporter: Reporter
    timeout: float

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def limit(self) -> int:
        return _LARGEST if self.data_set.bytes is None else 2 * self.data_set.bytes

    def failure(self, reason: str) -> DownloadError:
        why = " ".join(reason.split())
        remedy = f"Try again, or download {self.data_set.url} elsewhere and put it at {self.target}"
        return DownloadError(f"{self.data_set.name}: could not be fetched ({why}). {remedy}.")


def _download(job: _Job) -> None:
    """Bring the part to its full length, going on from what is there."""
    start = job.part.stat().st_size if job.part.is_file() else 0
    response = _open(job, start)
    if response is None and _md5(job.part) != job.data_set.md5:
        # 416 says that nothing lies beyond the part: it is whole, or not of this file.
        _remove(job.part)
        start, response = 0, _open(job, 0)
    if response is not None:
        with response:
            _receive(job, response, start)


def _open(job: _Job, start: int) -> http.client.HTTPResponse | None:
    """The answer to a request from byte `start` on, or None where no such byte exists (416)."""
    request = urllib.request.Request(  # noqa: S310 - _check_url has seen it
        job.data_set.url, headers={"User-Agent": f"pneumoscope/{__version__}"}
    )
    if start:
        request.add_header("Range", f"bytes={start}-")
    opener = urllib.request.build_opener(_SafeRedirects)
    with _network_errors(job):
        try:
            response: http.client.HTTPResponse = opener.open(request, timeout=job.timeout)
        except HTTPError as error:
            error.close()
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                return None
            raise
    return response


def _receive(job: _Job, response: http.client.HTTPResponse, start: int) -> None:
    """Append the answer to the part, or begin anew where the server sends the whole file."""
    start = _first_byte(response) if start else 0
    promised = response.length
    expected = None if promised is None else start + promised
    size = expected or 0
    if size <= job.limit:
        count = None if promised is None else math.ceil(promised / _CHUNK)
        label = f"Downloading {job.data_set.file_name}"
        shown = job.reporter.track(_chunks(job, response), label, count)
        size = _append(shown, job.part, start=start, limit=job.limit)
    if size > job.limit:
        _remove(job.part)
        raise job.failure(f"{size} bytes or more, at most {job.limit} belong; part removed")
    if expected is not None and size < expected:
        raise job.failure(f"connection closed after {size} of {expected} bytes, which are kept")


def _append(chunks: Iterable[bytes], part: Path, *, start: int, limit: int) -> int:
    """Write from byte `start` on, never beyond `limit`; the length, or what broke the limit."""
    size = start
    with storage_errors(part), part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                break
            file.write(chunk)
    return size


def _chunks(job: _Job, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        with _network_errors(job):
            chunk = response.read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _first_byte(response: http.client.HTTPResponse) -> int:
    """Where the answer begins in the file: 0 unless it says to be a part (206)."""
    said = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(said[1]) if said else 0


def _verify(job: _Job) -> None:
    got = _md5(job.part)
    if got != job.data_set.md5:
        _remove(job.part)
        raise job.failure(f"MD5 {got}, published {job.data_set.md5}; the download was removed")


def _remove(part: Path) -> None:
    with storage_errors(part):
        part.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    """Hexadecimal MD5, which publishers give; it guards against damage, not against malice."""
    digest = hashlib.md5(usedforsecurity=False)
    with storage_errors(path), path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _network_errors(job: _Job) -> Iterator[None]:
    """Translate everything a connection can fail with into `DownloadError`."""
    try:
        yield
    except HTTPError as error:
        raise job.failure(f"the server answered {error.code} {error.reason}") from error
    except URLError as error:
        raise job.failure(str(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise job.failure(str(error) or type(error).__name__) from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https; to http only within this machine."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows, or a `DownloadError`."""
        try:
            _check_url(newurl, allow_loopback=req.type == "http")
        except DownloadError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str, *, allow_loopback: bool) -> None:
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
    except ValueError:
        scheme, host = "", ""
    if host and scheme == "https":
        return
    if allow_loopback and scheme == "http" and _is_loopback(host):
        return
    raise DownloadError(f"{url}: not https; data sets come over https only. Correct the address.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
