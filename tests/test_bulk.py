"""Bulk: shards, parts that go on, archives and lists, and readers that run ahead."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.bundle.predictor import Prediction, Predictor
from pneumoscope.bundle.reading import Reading
from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.randomness import generator
from pneumoscope.workflows.bulk import scoring
from pneumoscope.workflows.bulk.run import SUMMARY, BulkResult, predict_in_parts
from pneumoscope.workflows.bulk.scoring import Shard, ahead, score_shard, shards
from pneumoscope.workflows.bulk.sources import Item, list_items
from pneumoscope.workflows.results import TrainResult


@pytest.fixture(scope="module")
def predictor(trained: TrainResult) -> Predictor:
    return Predictor.open(trained.bundle, threads=1)


@pytest.fixture
def pictures(phantoms: Path, tmp_path: Path) -> Path:
    """Seven radiographs and one file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(sorted((phantoms / "NORMAL").iterdir())[:7]):
        (folder / f"{number}.png").write_bytes(image.read_bytes())
    (folder / "4.png").write_bytes(b"nothing")
    return folder


def archived(folder: Path, place: Path) -> Path:
    with tarfile.open(place, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, f"inside/{file.name}")
        link = tarfile.TarInfo("inside/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("../../.hidden.png"), io.BytesIO())
    return place


def answers(parts: list[Path] | tuple[Path, ...]) -> pl.DataFrame:
    return pl.read_parquet(list(parts)).drop("milliseconds", "path")


def test_folders_archives_and_lists_answer_the_same(
    predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    paths = ",".join(["path", *sorted(f"pictures/{file.name}" for file in pictures.iterdir())])
    (tmp_path / "list.csv").write_text(paths.replace(",", "\n"))
    given = [pictures, archived(pictures, tmp_path / "all.tar"), tmp_path / "list.csv"]
    found = [
        predict_in_parts(predictor, [one], tmp_path / f"parts-{place}", shard_size=3)
        for place, one in enumerate(given)
    ]
    assert [len(result.parts) for result in found] == [3, 3, 3]
    tables = [answers(result.parts) for result in found]
    for table in tables[1:]:
        assert table.drop("reason").equals(tables[0].drop("reason"))
    single = [predictor.predict(file) for file in sorted(pictures.iterdir())]
    column = f"probability:{predictor.labels[0]}"
    expected = [one.probabilities.get(predictor.labels[0]) for one in single]
    for ours, theirs in zip(tables[0][column].to_list(), expected, strict=True):
        assert ours == (None if theirs is None else pytest.approx(theirs, abs=1e-6))
    assert (tables[0]["decision"] == "unreadable").to_list() == [place == 4 for place in range(7)]


def test_what_is_answered_is_not_answered_again(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = predict_in_parts(predictor, [pictures], tmp_path / "parts", shard_size=3)
    kept = {part: part.read_bytes() for part in first.parts}
    first.parts[1].unlink()
    asked: list[str] = []
    read = scoring._read

    def noted(given: Predictor, item: Item) -> Reading:
        asked.append(item.name)
        return read(given, item)

    monkeypatch.setattr(scoring, "_read", noted)
    heard = Silent()
    again = predict_in_parts(
        predictor, [pictures], tmp_path / "parts", shard_size=3, reporter=heard
    )
    assert (again.skipped, again.images) == (4, 7)
    assert sorted(asked) == sorted(str(pictures / f"{number}.png") for number in (3, 4, 5))
    assert again.parts == first.parts
    assert answers(again.parts).equals(answers([*kept]))
    summary = json.loads((tmp_path / "parts" / SUMMARY).read_text())
    assert summary["parts"] == [part.name for part in again.parts]
    assert sum(summary["decisions"].values()) == 7


def test_a_kill_leaves_whole_parts_only(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> Iterator[None]:
        for place, _ in enumerate(
            scoring.scoring(predictor, Shard(0, list_items([pictures])), folder)
        ):
            if place == 3:
                raise KeyboardInterrupt
            yield

    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        list(killed(tmp_path / "parts"))
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_changed_image_is_answered_again_and_the_old_part_is_named(
    predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    first = predict_in_parts(predictor, [pictures], tmp_path / "parts", shard_size=10)
    (pictures / "4.png").write_bytes((pictures / "5.png").read_bytes())
    heard = Silent()
    again = predict_in_parts(
        predictor, [pictures], tmp_path / "parts", shard_size=10, reporter=heard
    )
    assert again.parts != first.parts
    assert "unreadable" not in again.decisions
    assert any(first.parts[0].name in line for line in heard.warnings)


def test_an_archive_written_again_is_answered_again(
    predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    images = [pictures / f"{number}.png" for number in (4, 5)]
    content = [image.read_bytes() for image in images]
    longest = max(map(len, content))

    def written(order: Sequence[bytes]) -> BulkResult:
        with tarfile.open(tmp_path / "inbox.tar", "w") as archive:
            for image, held in zip(images, order, strict=True):
                padded = held + bytes(longest - len(held))
                about = tarfile.TarInfo(image.name)
                about.size = longest
                archive.addfile(about, io.BytesIO(padded))
        return predict_in_parts(predictor, [tmp_path / "inbox.tar"], tmp_path / "parts")

    first, again = written(content), written(content[::-1])
    assert (first.skipped, again.skipped) == (0, 0)
    before, now = answers(first.parts), answers(again.parts)
    probability = f"probability:{predictor.labels[0]}"
    assert before[probability].to_list() == now[probability].to_list()[::-1]


def test_only_canvases_wait_to_be_answered(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[object] = []
    answer = Predictor.answer

    def noted(self: Predictor, readings: Sequence[Reading], **options: bool) -> list[Prediction]:
        waiting.extend(one.seen.decoded for one in readings if one.seen)
        return answer(self, readings, **options)

    monkeypatch.setattr(Predictor, "answer", noted)
    predict_in_parts(predictor, [pictures], tmp_path / "parts")
    assert waiting
    assert set(waiting) == {None}


def test_a_shard_is_scored_alone_as_among_others(
    predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    items = list_items([pictures])
    (shard,) = [one for one in shards(items, 3) if one.number == 1]
    (tmp_path / "alone").mkdir()
    alone = score_shard(predictor, shard, tmp_path / "alone")
    among = predict_in_parts(predictor, [pictures], tmp_path / "among", shard_size=3)
    assert alone.name == among.parts[1].name
    assert answers([alone]).equals(answers([among.parts[1]]))


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_shards_hold_everything_once_and_in_order(numbers: list[int], size: int) -> None:
    items = [Item(str(number), Path("x")) for number in numbers]
    made = list(shards(items, size))
    assert [item for shard in made for item in shard.items] == items
    assert all(len(shard.items) == size for shard in made[:-1])
    assert [shard.number for shard in made] == list(range(len(made)))


def test_readers_keep_the_order_and_stay_a_bounded_way_ahead() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            begun.append(number)
        return number * number

    found = ahead(range(1000), work, threads=3, most=10)
    assert list(islice(found, 5)) == [0, 1, 4, 9, 16]
    assert max(begun) < 20
    found.close()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tar.gz", b"", "packed archive"),
        ("a.tar", b"x" * 700, "is damaged"),
        ("a.csv", b"name\nx\n", "one of path, image, file"),
        ("empty", None, "no image found"),
        ("missing", None, "does not exist"),
    ],
)
def test_strange_sources_are_one_line(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    place = tmp_path / name
    if content is not None:
        place.write_bytes(content)
    elif name == "empty":
        place.mkdir()
    with pytest.raises(InputError, match=reason) as caught:
        list_items([place])
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_a_list_costs_one_row(
    predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("image\npictures/0.png\nnowhere.png\n")
    result = predict_in_parts(predictor, [tmp_path / "list.csv"], tmp_path / "parts")
    table = pl.read_parquet(list(result.parts))
    assert (table["decision"] == "unreadable").to_list() == [False, True]
    assert "cannot be opened" in table["reason"][1]


def test_what_is_said_of_all_together_is_what_predict_says_also_when_it_goes_on(
    predictor: Predictor, trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    """Thirty familiar phantoms, and the same under noise."""
    from PIL import Image

    from pneumoscope import predict

    noise = generator(0, "noise").normal(0, 20, (64, 64))
    for shifted in (False, True):
        folder = tmp_path / f"shifted-{shifted}"
        folder.mkdir()
        for number, file in enumerate(sorted((phantoms / "NORMAL").iterdir())[:30]):
            pixels = np.clip(np.asarray(Image.open(file)) + shifted * noise, 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
        (folder / "bad.png").write_bytes(b"nothing")
        plain, bulk, again = Silent(), Silent(), Silent()
        deque(predict(trained.bundle, [folder], reporter=plain)[1], maxlen=0)
        (told,) = (line for line in plain.messages + plain.warnings if "less familiar" in line)
        parts = tmp_path / f"parts-{shifted}"
        first = predict_in_parts(predictor, [folder], parts, shard_size=8, reporter=bulk)
        assert told in (bulk.warnings if shifted else bulk.messages)
        first.parts[1].unlink()
        second = predict_in_parts(predictor, [folder], parts, shard_size=8, reporter=again)
        assert told in (again.warnings if shifted else again.messages)
        assert first.shift == second.shift
        assert first.shift is not None
        assert (first.shift.shifted, first.shift.unfamiliar.trials) == (shifted, 30)
        assert json.loads((parts / SUMMARY).read_text())["shift"] == first.shift.to_json()


def test_without_a_gate_nothing_is_said_of_all_together(
    trained: TrainResult, pictures: Path, tmp_path: Path
) -> None:
    plain = Predictor.open(trained.bundle, threads=1, gated=False)
    assert predict_in_parts(plain, [pictures], tmp_path / "parts").to_json()["shift"] is None


def test_the_folder_must_be_one(predictor: Predictor, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file"):
        predict_in_parts(predictor, [pictures], tmp_path / "file")
