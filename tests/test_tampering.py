"""What was done to a bundle after export is refused before anything of it is executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save

from pneumoscope.bundle import runtimes, torch_runtime
from pneumoscope.bundle.archive import (
    CARD,
    FAMILIAR,
    FILES,
    GATE,
    ONNX,
    OPTIONAL,
    REFERENCE,
    SEAL,
    SPEC,
    WEIGHTS,
    open_bundle,
)
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import BundleError
from pneumoscope.core.files import sha256
from pneumoscope.workflows.results import TrainResult

ALL = (SPEC, SEAL, *FILES, *OPTIONAL)
REMEDY = re.compile(r"[.)] (Copy|Export|Give|Zip|Remove|Do not use|Check) .*\.$")

Contents = dict[str, bytes]
Packed = Callable[[zipfile.ZipFile, Contents], None]


def graph() -> bytes:
    """A graph of the contract's shape, without a network."""
    shapes = {"logits": (2,), "embedding": (4,), "saliency": (2, 2, 2)}
    given = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 64, 64])
    wanted = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    ]
    found: bytes = helper.make_model(
        helper.make_graph([], "small", [given], wanted)
    ).SerializeToString()
    return found


@pytest.fixture(scope="module")
def contents(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """A real bundle's files, but for its network, which is of a few bytes."""
    place = tmp_path_factory.mktemp("small") / "bundle"
    small = open_bundle(trained.bundle).with_file(ONNX, graph())
    small.with_file(WEIGHTS, save({"weight": np.zeros((2, 3), np.float32)})).save(place)
    return {name: (place / name).read_bytes() for name in ALL}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runtimes that anything was opened in; none opens."""
    found: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        def refuse(*_: object) -> Any:
            found.append(name)
            raise RuntimeError("opened")

        return refuse

    for name in runtimes.RUNTIMES:
        monkeypatch.setitem(runtimes.RUNTIMES, name, noted(name))
    monkeypatch.setattr(torch_runtime.Torch, "open", noted("torch"))
    return found


def folder_of(contents: Mapping[str, bytes], place: Path) -> Path:
    place.mkdir()
    for name, content in contents.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
    return place


def zip_of(contents: Mapping[str, bytes], place: Path) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return place


def resealed(contents: Mapping[str, bytes]) -> Contents:
    """With hashes that fit again, as anyone can write them."""
    hashes = {name: sha256(content) for name, content in contents.items() if name in ALL[2:]}
    spec = json.dumps(json.loads(contents[SPEC]) | {"files": hashes}).encode()
    return {**contents, SPEC: spec, SEAL: f"{sha256(spec)}  {SPEC}\n".encode()}


def refused(path: Path, opened: list[str], runtime: str = "auto") -> str:
    """Why a bundle is refused: in one line that ends with what to do, nothing being executed."""
    with pytest.raises(BundleError) as caught:
        Predictor.open(path, runtime=runtime)
    message = str(caught.value)
    assert "\n" not in message
    assert REMEDY.search(message), message
    assert not opened
    return message


def everywhere(contents: Mapping[str, bytes], place: Path, opened: list[str]) -> set[str]:
    """Why these are refused as a folder that torch is to run, and as a zip."""
    return {
        refused(folder_of(contents, place / "b"), opened, "torch"),
        refused(zip_of(contents, place / "b.zip"), opened),
    }


def test_what_nobody_touched_comes_as_far_as_the_runtime(
    contents: Contents, opened: list[str], tmp_path: Path
) -> None:
    for made in (
        folder_of(resealed(contents), tmp_path / "b"),
        zip_of(contents, tmp_path / "b.zip"),
    ):
        with pytest.raises(BundleError, match=r"openvino cannot open it .* --runtime onnx"):
            Predictor.open(made)
    assert opened == ["openvino", "openvino"]


def flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[int(place * (len(changed) - 1))] ^= 1
        return bytes(changed)

    return flip


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": flipped(0.0),
    "middle byte": flipped(0.5),
    "last byte": flipped(1.0),
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "emptied": lambda _: b"",
    "appended": lambda content: content + b"\n",
    "zeroed": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", BYTES)
def test_a_changed_file_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, name: str, how: str
) -> None:
    changed = {**contents, name: BYTES[how](contents[name])}
    why = everywhere(changed, tmp_path, opened)
    said = SPEC if name == SEAL else name
    assert all(f"{said} was changed after export" in one for one in why)


@pytest.mark.parametrize("name", ALL)
def test_a_missing_file_is_named(
    contents: Contents, opened: list[str], tmp_path: Path, name: str
) -> None:
    rest = {other: content for other, content in contents.items() if other != name}
    assert all(f"{name} is missing" in one for one in everywhere(rest, tmp_path, opened))


def other_spec(contents: Contents) -> bytes:
    return json.dumps(json.loads(contents[SPEC]) | {"temperature": 9.0}).encode()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (SPEC, other_spec),
        (SEAL, lambda contents: f"{sha256(other_spec(contents))}  {SPEC}\n".encode()),
        (ONNX, lambda contents: contents[GATE]),
        (GATE, lambda contents: contents[ONNX]),
        (WEIGHTS, lambda contents: contents[REFERENCE]),
        (REFERENCE, lambda contents: contents[FAMILIAR]),
        (FAMILIAR, lambda contents: contents[WEIGHTS]),
        (CARD, lambda _: b"# A better model\n"),
    ],
)
def test_another_file_of_the_same_kind_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, name: str, other: Any
) -> None:
    why = everywhere({**contents, name: other(contents)}, tmp_path, opened)
    assert all("was changed after export" in one for one in why)


@pytest.mark.parametrize("name", ["model.pt", "setup.py", "Model.onnx", "more/model.onnx"])
def test_a_file_that_is_no_bundles_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, name: str
) -> None:
    for made in ({**contents, name: b"x"}, resealed({**contents, name: b"x"})):
        place = tmp_path / sha256(made[SPEC])[:8]
        place.mkdir()
        why = everywhere(made, place, opened)
        assert all("which is no file of a bundle; allowed: bundle.json" in one for one in why)


def test_what_file_managers_leave_behind_does_no_harm(contents: Contents, tmp_path: Path) -> None:
    left = {**contents, ".DS_Store": b"x"}
    assert open_bundle(folder_of(left, tmp_path / "b")).spec
    inside = {f"b/{name}": content for name, content in left.items()}
    assert open_bundle(zip_of({**inside, "__MACOSX/b/._x": b"x"}, tmp_path / "b.zip")).spec


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def pickles(marker: Path) -> dict[str, bytes]:
    """What runs when it is loaded: as Python, as torch and as numpy write it."""
    buffer, array = io.BytesIO(), io.BytesIO()
    torch.save({"weight": Payload(marker)}, buffer)
    np.save(array, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    return {
        "pickle": pickle.dumps(Payload(marker)), "torch": buffer.getvalue(),
        "numpy": array.getvalue(),
    }  # fmt: skip


def test_the_payload_would_be_noticed(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for content in pickles(marker).values():
        start = content.find(b"\x80")
        loaded = io.BytesIO(content)
        if content[:2] == b"PK":
            with zipfile.ZipFile(loaded) as archive:
                (name,) = (one for one in archive.namelist() if one.endswith("data.pkl"))
                loaded, start = io.BytesIO(archive.read(name)), 0
        loaded.seek(start)
        pickle.Unpickler(loaded).load()
        assert marker.exists()
        marker.unlink()


@pytest.mark.parametrize("name", [ONNX, WEIGHTS, REFERENCE, GATE, FAMILIAR, SPEC])
@pytest.mark.parametrize("kind", ["pickle", "torch", "numpy"])
def test_a_pickle_is_never_loaded_whatever_the_seal_says(
    contents: Contents, opened: list[str], tmp_path: Path, name: str, kind: str
) -> None:
    marker = tmp_path / "marker"
    content = pickles(marker)[kind]
    seal = f"{sha256(content)}  {SPEC}\n".encode()
    forged = {**contents, SPEC: content, SEAL: seal}
    if name != SPEC:
        forged = resealed({**contents, name: content})
    why = everywhere(forged, tmp_path, opened)
    assert all(re.search("is not JSON|not ONNX|is no safetensors", one) for one in why)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "pytorch_model.bin"])
def test_a_pickle_in_place_of_weights_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    forged = {**contents, name: pickles(marker)["torch"]}
    del forged[WEIGHTS]
    spec = json.loads(forged[SPEC])
    spec["files"] = {one: sha256(forged[one]) for one in forged if one not in (SPEC, SEAL)}
    forged[SPEC] = json.dumps(spec).encode()
    forged[SEAL] = f"{sha256(forged[SPEC])}  {SPEC}\n".encode()
    everywhere(forged, tmp_path, opened)
    assert not marker.exists()


def header(length: int, text: bytes, rest: int = 0) -> bytes:
    return struct.pack("<Q", length) + text + bytes(rest)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"1234567", header(2**63, b"{}"), header(3, b"{}"), header(2, b"[]"),
        header(2, b"{}", 1), header(200_000_000, b"{}"), header(9, b'{"a":{}}}'),
        header(10000, b'{"a":' * 2000),
        header(28, b'{"a":{"data_offsets":[0,9]}}', 8), header(25, b'{"a":{"data_offsets":9}} ', 8),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, content: bytes
) -> None:
    forged = resealed({**contents, WEIGHTS: content})
    assert "is no safetensors" in refused(zip_of(forged, tmp_path / "b.zip"), opened)


def prefixed(prefix: str) -> Packed:
    def pack(archive: zipfile.ZipFile, contents: Contents) -> None:
        for name, content in contents.items():
            archive.writestr(f"{prefix}{name}", content)

    return pack


def with_member(name: str, *, mode: int = stat.S_IFREG | 0o644) -> Packed:
    """One more member, or one in place of that of the same name."""

    def pack(archive: zipfile.ZipFile, contents: Contents) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, contents.get(name, b"/etc/passwd"))
        prefixed("")(archive, {one: held for one, held in contents.items() if one != name})

    return pack


def twice(archive: zipfile.ZipFile, contents: Contents) -> None:
    prefixed("")(archive, contents)
    with warnings.catch_warnings(action="ignore"):
        archive.writestr(ONNX, contents[ONNX])


def shouted(archive: zipfile.ZipFile, contents: Contents) -> None:
    for name, content in contents.items():
        archive.writestr(name.upper(), content)


def scattered(archive: zipfile.ZipFile, contents: Contents) -> None:
    for number, (name, content) in enumerate(contents.items()):
        archive.writestr(f"{'bB'[number % 2]}/{name}", content)


def large(name: str, size: int) -> Packed:
    def pack(archive: zipfile.ZipFile, contents: Contents) -> None:
        prefixed("")(archive, {one: held for one, held in contents.items() if one != name})
        archive.writestr(name, bytes(size), zipfile.ZIP_DEFLATED)

    return pack


def packed_by(method: int) -> Packed:
    def pack(archive: zipfile.ZipFile, contents: Contents) -> None:
        for name, content in contents.items():
            archive.writestr(name, content, method if name == WEIGHTS else zipfile.ZIP_STORED)

    return pack


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        (packed_by(zipfile.ZIP_LZMA), "packed by method 14; allowed: stored and deflated"),
        (packed_by(zipfile.ZIP_BZIP2), "packed by method 12; allowed: stored and deflated"),
        (prefixed("../"), "leads out of it"),
        (prefixed("../../b/"), "leads out of it"),
        (prefixed("b/../"), "leads out of it"),
        (prefixed("/"), "leads out of it"),
        (prefixed("/tmp/b/"), "leads out of it"),
        (prefixed("C:/"), "leads out of it"),
        (prefixed("..\\"), "leads out of it"),
        (with_member("../evil.py"), "leads out of it"),
        (with_member("../"), "leads out of it"),
        (with_member("/etc/cron.d/evil"), "leads out of it"),
        (with_member(".."), "leads out of it"),
        (with_member(CARD, mode=stat.S_IFLNK | 0o777), "link or device"),
        (with_member(ONNX, mode=stat.S_IFLNK | 0o777), "link or device"),
        (with_member("link", mode=stat.S_IFLNK | 0o777), "link or device"),
        (with_member("fifo", mode=stat.S_IFIFO | 0o644), "link or device"),
        (with_member("disk", mode=stat.S_IFBLK | 0o644), "link or device"),
        (twice, f"{ONNX} twice"),
        (shouted, "is missing"),
        (scattered, "is missing"),
        (prefixed("b/B/"), "is missing"),
        (with_member("b/bundle.json"), "no file of a bundle"),
        (with_member("BUNDLE.JSON"), "no file of a bundle"),
        (large(SPEC, 17 * 2**20), "at most"),
        (large(CARD, 2**20 + 1), "at most"),
        (large(ONNX, 33 * 2**20), "unpacks to"),
    ],
)
def test_a_zip_that_is_a_trick_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, pack: Packed, reason: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with zipfile.ZipFile(inner / "b.zip", "w") as archive:
        pack(archive, contents)
    assert reason in refused(inner / "b.zip", opened)
    assert [one.name for one in tmp_path.rglob("*")] == ["inner", "b.zip"]


def lying(content: bytes, name: str, *, size: int, packed: int | None = None) -> bytes:
    """A zip whose directory and headers say another size of a member than it has."""
    changed = bytearray(content)
    for mark, sizes, title in ((b"PK\3\4", 18, 30), (b"PK\1\2", 20, 46)):
        start = -1
        while (start := changed.find(mark, start + 1)) >= 0:
            if changed[start + title :].startswith(name.encode()):
                struct.pack_into("<I", changed, start + sizes + 4, size)
                if packed is not None:
                    struct.pack_into("<I", changed, start + sizes, packed)
    return bytes(changed)


@pytest.mark.parametrize("packed", [None, 2**31])
def test_a_bomb_that_lies_of_its_size_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, packed: int | None
) -> None:
    """Said to be small, it is read that far; said to have been large, it is not believed."""
    place = tmp_path / "b.zip"
    with zipfile.ZipFile(place, "w") as archive:
        large(ONNX, 33 * 2**20)(archive, contents)
    said = 100 if packed is None else 33 * 2**20
    place.write_bytes(lying(place.read_bytes(), ONNX, size=said, packed=packed))
    with zipfile.ZipFile(place) as archive:
        assert archive.getinfo(ONNX).file_size == said
    refused(place, opened)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def locked(content: bytes) -> bytes:
    """All members said to be encrypted."""
    changed = bytearray(content)
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := changed.find(mark, start + 1)) >= 0:
            changed[start + flags] |= 1
    return bytes(changed)


@pytest.mark.parametrize("spoil", [cut, locked, lambda _: b"", lambda _: b"PK\5\6" + bytes(18)])
def test_a_zip_that_is_none_is_refused(
    contents: Contents, opened: list[str], tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    place = zip_of(contents, tmp_path / "b.zip")
    place.write_bytes(spoil(place.read_bytes()))
    refused(place, opened)


@pytest.mark.parametrize("name", ALL)
def test_a_link_is_no_bundle_file(
    contents: Contents, opened: list[str], tmp_path: Path, name: str
) -> None:
    folder = folder_of(contents, tmp_path / "b")
    (folder / name).rename(tmp_path / "secret")
    (folder / name).symlink_to(tmp_path / "secret")
    assert f"{name} is missing" in refused(folder, opened)


def as_initialiser(model: onnx.ModelProto) -> onnx.TensorProto:
    found: onnx.TensorProto = model.graph.initializer.add()
    return found


def in_a_functions_default(model: onnx.ModelProto) -> onnx.TensorProto:
    attribute = model.functions.add(name="own").attribute_proto.add()
    found: onnx.TensorProto = attribute.t
    return found


def in_a_sparse_branch(model: onnx.ModelProto) -> onnx.TensorProto:
    attribute = model.graph.node.add(op_type="If").attribute.add(name="then_branch")
    found: onnx.TensorProto = attribute.g.sparse_initializer.add().values
    return found


def in_training(model: onnx.ModelProto) -> onnx.TensorProto:
    found: onnx.TensorProto = model.training_info.add().algorithm.initializer.add()
    return found


@pytest.mark.parametrize("name", [ONNX, GATE])
@pytest.mark.parametrize(
    "hide", [as_initialiser, in_a_functions_default, in_a_sparse_branch, in_training]
)
def test_a_graph_that_names_files_is_refused_before_any_runtime(
    contents: Contents,
    opened: list[str],
    tmp_path: Path,
    name: str,
    hide: Callable[[onnx.ModelProto], onnx.TensorProto],
) -> None:
    model = onnx.load_model_from_string(contents[name])
    tensor = hide(model)
    tensor.name, tensor.data_type = "secret", TensorProto.FLOAT
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    forged = resealed({**contents, name: model.SerializeToString()})
    why = refused(zip_of(forged, tmp_path / f"{name}.zip"), opened)
    assert "names files outside the bundle" in why
