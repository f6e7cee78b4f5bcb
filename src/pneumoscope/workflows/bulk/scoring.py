"""One shard in, one file of answers out: the unit that any scheduler may run anywhere."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pneumoscope.bundle.predictor import Prediction, Predictor
from pneumoscope.bundle.reading import Reading
from pneumoscope.core.tables import save_parquet
from pneumoscope.workflows.bulk.sources import Item
from pneumoscope.workflows.prediction import answers_frame

BATCH = 32
READERS = 2
AHEAD = 4
"""Batches that are read before they are needed."""

Given = TypeVar("Given")
Got = TypeVar("Got")


@dataclass(frozen=True)
class Shard:
    """Some of the inputs.

    Attributes:
        number: From 0.
        items: In order.
    """

    number: int
    items: Sequence[Item]

    def part(self, model_id: str) -> str:
        """The name of its file of answers, fixed by the inputs and the model."""
        digest = hashlib.sha256(model_id.encode())
        for item in self.items:
            facts = (item.name, item.start, item.size, item.changed)
            digest.update(repr(facts).encode("utf8", errors="surrogatepass"))
        return f"part-{self.number:05}-{digest.hexdigest()[:12]}.parquet"


def shards(items: Sequence[Item], size: int) -> Iterator[Shard]:
    """The items in shards of `size`, the last one smaller."""
    for number, start in enumerate(range(0, len(items), size)):
        yield Shard(number, items[start : start + size])


def score_shard(predictor: Predictor, shard: Shard, folder: Path) -> Path:
    """Answer a shard into its file, whole or not at all; nothing is done where it is there.

    Args:
        predictor: Answers.
        shard: The inputs.
        folder: Exists, and holds the file afterwards.

    Raises:
        StorageError: the file cannot be written.
    """
    deque(scoring(predictor, shard, folder), maxlen=0)
    return folder / shard.part(predictor.model_id)


def scoring(predictor: Predictor, shard: Shard, folder: Path) -> Iterator[Prediction | None]:
    """As `score_shard`, giving every answer as it comes; None for each that was there already.

    Files are read and decoded while the model answers those before them. What cannot be read
    costs one row.
    """
    place = folder / shard.part(predictor.model_id)
    if place.is_file():
        yield from (None for _ in shard.items)
        return
    rows = []
    with closing(ahead(shard.items, lambda item: _read(predictor, item))) as readings:
        while batch := list(islice(readings, BATCH)):
            for answer in predictor.answer(batch):
                rows.append(answer.row(predictor.labels))
                yield answer
    save_parquet(answers_frame(rows, predictor.labels), place)


def ahead(
    given: Iterable[Given],
    work: Callable[[Given], Got],
    *,
    threads: int = READERS,
    most: int = AHEAD * BATCH,
) -> Generator[Got]:
    """The work on each, in order, done by threads up to `most` ahead of what is taken."""
    remaining = iter(given)
    with ThreadPoolExecutor(threads, thread_name_prefix="reader") as pool:
        waiting: deque[Future[Got]] = deque(
            pool.submit(work, one) for one in islice(remaining, most)
        )
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, one) for one in islice(remaining, 1))
        finally:
            for one in waiting:
                one.cancel()


def _read(predictor: Predictor, item: Item) -> Reading:
    """What an item holds; of many that wait, only what the model will see is kept."""
    try:
        return predictor.read(item.content(), name=item.name).light()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        why = f"the archive cannot be read ({reason}). Check it."
        return Reading(Path(item.name), None, why, 0.0)
