from __future__ import annotations

import dataclasses
import errno
import hashlib
import socket
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.core.errors import DownloadError, StorageError
from pneumoscope.core.progress import Silent, T
from pneumoscope.data import download
from pneumoscope.data.download import DATA_SETS, DataSet, fetch, find_data_set

CONTENT = bytes(range(256)) * 4096  # four chunks


class _Server(ThreadingHTTPServer):
    """Serves CONTENT as its settings say and remembers the Range header of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges: list[str | None] = []
        self.honours_range = True
        self.block = 1
        self.content = CONTENT
        self.cut_after: int | None = None
        self.status: int | None = None
        self.location = ""
        self.hides_length = False
        self.stalls = False
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.npz"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers["Range"]
        server.ranges.append(asked)
        if server.stalls:
            server.released.wait(5)
            return
        if server.status is not None:
            self.send_response(server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self._send(start // server.block * server.block if server.honours_range else 0)

    def _send(self, start: int) -> None:
        content, total = self.server.content[start:], len(self.server.content)
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
        elif start:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        if not self.server.hides_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class says so
        pass


class _Counting(Silent):
    """Remembers how much work was announced and how much was done."""

    def __init__(self) -> None:
        super().__init__()
        self.total: int | None = None
        self.steps = 0

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        del description
        self.total = total
        for item in items:
            self.steps += 1
            yield item


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _data_set(server: _Server, **changes: Any) -> DataSet:
    known = DataSet(
        name="tiny",
        title="A tiny file",
        url=server.url,
        file_name="data.npz",
        md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
        bytes=len(CONTENT),
        licence="CC0",
        citation="none",
    )
    return dataclasses.replace(known, **changes)


def _fetch(data_set: DataSet, folder: Path) -> Path:
    return fetch(data_set, folder=folder, reporter=Silent(), timeout=5)


def test_registry_is_complete() -> None:
    names = [data_set.name for data_set in DATA_SETS]
    assert len(set(names)) == len(names)
    for data_set in DATA_SETS:
        assert data_set.url.startswith("https://")
        assert data_set.file_name in data_set.url
        assert len(data_set.md5) == 32
        assert data_set.licence
        assert "doi:" in data_set.citation
        assert find_data_set(data_set.name) is data_set


def test_unknown_data_set_names_the_closest() -> None:
    with pytest.raises(DownloadError, match="Did you mean 'pneumoniamnist_224'"):
        find_data_set("pneumonia-mnist")


def test_downloads_and_shows_progress(server: _Server, tmp_path: Path) -> None:
    reporter = _Counting()
    path = fetch(_data_set(server), folder=tmp_path / "new" / "folder", reporter=reporter)
    assert path == tmp_path / "new" / "folder" / "data.npz"
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["data.npz"]
    assert server.ranges == [None]
    assert reporter.total == reporter.steps == 4


def test_second_call_asks_nobody(server: _Server, tmp_path: Path) -> None:
    first = _fetch(_data_set(server), tmp_path)
    assert _fetch(_data_set(server), tmp_path) == first
    assert len(server.ranges) == 1


def test_length_may_be_unknown(server: _Server, tmp_path: Path) -> None:
    server.hides_length = True
    assert _fetch(_data_set(server, bytes=None), tmp_path).read_bytes() == CONTENT


def test_resumes_a_part(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "data.npz.part").write_bytes(CONTENT[:300_000])
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]


def test_begins_anew_where_the_server_ignores_ranges(server: _Server, tmp_path: Path) -> None:
    server.honours_range = False
    (tmp_path / "data.npz.part").write_bytes(b"x" * 300_000)
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]


def test_server_may_begin_earlier_than_asked(server: _Server, tmp_path: Path) -> None:
    server.block = 65_536
    (tmp_path / "data.npz.part").write_bytes(CONTENT[:300_000])
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT


def test_whole_part_is_taken(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "data.npz.part").write_bytes(CONTENT)
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_part_of_another_longer_file_is_dropped(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "data.npz.part").write_bytes(CONTENT + b"more")
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_cut_connection_keeps_the_part_and_the_next_call_goes_on(
    server: _Server, tmp_path: Path
) -> None:
    server.cut_after = 700_000
    with pytest.raises(DownloadError, match=f"closed after 700000 of {len(CONTENT)}"):
        _fetch(_data_set(server), tmp_path)
    assert not (tmp_path / "data.npz").exists()
    server.cut_after = None
    assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=700000-"]


def test_wrong_content_is_removed_and_both_checksums_named(server: _Server, tmp_path: Path) -> None:
    wanted = "0" * 32
    got = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    with pytest.raises(DownloadError, match=f"{got}.*{wanted}"):
        _fetch(_data_set(server, md5=wanted), tmp_path)
    assert not list(tmp_path.iterdir())


def test_damaged_file_is_fetched_again(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(CONTENT[:-1])
    reporter = Silent()
    fetch(_data_set(server), folder=tmp_path, reporter=reporter)
    assert (tmp_path / "data.npz").read_bytes() == CONTENT
    assert "MD5" in reporter.warnings[0]


@pytest.mark.parametrize("hides_length", [False, True])
def test_refuses_far_more_than_expected(
    server: _Server, tmp_path: Path, hides_length: bool
) -> None:
    server.hides_length = hides_length
    reporter = _Counting()
    with pytest.raises(DownloadError, match=r"at most 600000"):
        fetch(_data_set(server, bytes=300_000), folder=tmp_path, reporter=reporter)
    assert not list(tmp_path.iterdir())
    assert reporter.steps <= (3 if hides_length else 0)


def test_refusal_names_address_and_place(server: _Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="404") as caught:
        _fetch(_data_set(server), tmp_path)
    assert server.url in str(caught.value)
    assert str(tmp_path / "data.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_answering_is_one_line(server: _Server, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/data.npz"
    with pytest.raises(DownloadError, match="refused") as caught:
        _fetch(_data_set(server, url=closed), tmp_path)
    assert closed in str(caught.value)


def test_stalled_server_is_given_up(server: _Server, tmp_path: Path) -> None:
    server.stalls = True
    with pytest.raises(DownloadError, match="timed out"):
        fetch(_data_set(server), folder=tmp_path, reporter=Silent(), timeout=0.1)


def test_nonsense_instead_of_http_is_one_line(tmp_path: Path, server: _Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/data.npz"

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"no such protocol\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(DownloadError, match="no such protocol"):
            _fetch(_data_set(server, url=url), tmp_path)
        thread.join()


@pytest.mark.parametrize(
    "url", ["http://example.org/data.npz", "file:///etc/hostname", "data.npz", "http://[", ""]
)
def test_only_https_is_fetched(server: _Server, tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="https only"):
        _fetch(_data_set(server, url=url), tmp_path)


def test_redirects_elsewhere_than_https_are_refused(server: _Server, tmp_path: Path) -> None:
    server.status, server.location = 302, "http://example.org/data.npz"
    with pytest.raises(DownloadError, match=r"http://example\.org/data\.npz: not https"):
        _fetch(_data_set(server), tmp_path)
    server.location = "file:///etc/hostname"
    with pytest.raises(DownloadError, match=r"not https|not allowed"):
        _fetch(_data_set(server), tmp_path)


def test_https_never_leads_to_http() -> None:
    download._check_url("http://127.0.0.1/data.npz", allow_loopback=True)
    with pytest.raises(DownloadError, match="not https"):
        download._check_url("http://127.0.0.1/data.npz", allow_loopback=False)


def test_redirect_within_this_machine_is_followed(server: _Server, tmp_path: Path) -> None:
    other = _Server()
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        server.status, server.location = 302, other.url
        assert _fetch(_data_set(server), tmp_path).read_bytes() == CONTENT
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


def test_folder_that_is_a_file_is_a_storage_error(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        _fetch(_data_set(server), tmp_path / "taken")


def test_full_disk_is_a_storage_error_and_keeps_the_part(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_up(chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield next(iter(chunks))
        raise OSError(errno.ENOSPC, "No space left on device")

    append = download._append

    def on_a_full_disk(chunks: Iterable[bytes], part: Path, *, start: int, limit: int) -> int:
        return append(fills_up(chunks), part, start=start, limit=limit)

    monkeypatch.setattr(download, "_append", on_a_full_disk)
    with pytest.raises(StorageError, match="the disk is full"):
        _fetch(_data_set(server), tmp_path)
    assert (tmp_path / "data.npz.part").stat().st_size == 2**18
