"""Dynamic micro-batching: whatever waits when the model is free is answered together.

No image waits for company: while nothing else is asked, batches are of one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from pneumoscope.bundle.prediction import Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.reading import Reading

_MEMORY = 0.9
"""Of the running mean of the time an image takes."""


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """One image to be answered.

    Attributes:
        reading: As a decoder read it.
        predictor: Of the bundle the request started with.
        saliency: Whether a map is asked for.
        answer: Filled in when it is known.
    """

    reading: Reading
    predictor: Predictor
    saliency: bool
    answer: Future[Prediction] = field(default_factory=Future)


class Batcher:
    """Answers questions in a thread of its own.

    Args:
        most: Images answered together.
        on_batch: Told the answers of each batch.
    """

    def __init__(
        self, most: int, *, on_batch: Callable[[Sequence[Prediction]], None] = lambda _: None
    ) -> None:
        self._most, self._on_batch = most, on_batch
        self._waiting: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self.seconds_per_image = 0.01

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def close(self) -> None:
        """Answer what was asked, then stop."""
        self._waiting.put(None)
        self._thread.join()

    @property
    def depth(self) -> int:
        """Images read that wait for the model."""
        return self._waiting.qsize()

    def ask(self, reading: Reading, predictor: Predictor, *, saliency: bool) -> Future[Prediction]:
        """The answer to come; cancelling it spares the model the work."""
        question = Question(reading, predictor, saliency)
        self._waiting.put(question)
        return question.answer

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            groups: dict[tuple[int, bool], list[Question]] = {}
            for question in batch:
                if question.answer.set_running_or_notify_cancel():
                    key = id(question.predictor), question.saliency
                    groups.setdefault(key, []).append(question)
            for group in groups.values():
                self._answer(group)

    def _next(self) -> list[Question] | None:
        """What waits, at most a batch; None when it is time to stop."""
        first = self._waiting.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._most:
            try:
                question = self._waiting.get_nowait()
            except queue.Empty:
                break
            if question is None:
                self._waiting.put(None)
                break
            batch.append(question)
        return batch

    def _answer(self, group: list[Question]) -> None:
        start = time.perf_counter()
        readings = [question.reading for question in group]
        try:
            answers = group[0].predictor.answer(readings, saliency=group[0].saliency)
        except Exception as error:  # noqa: BLE001 - one image must not take others with it
            if len(group) == 1:
                group[0].answer.set_exception(error)
                return
            for question in group:
                self._answer([question])
            return
        took = (time.perf_counter() - start) / len(group)
        self.seconds_per_image = _MEMORY * self.seconds_per_image + (1 - _MEMORY) * took
        self._on_batch(answers)
        for question, answer in zip(group, answers, strict=True):
            question.answer.set_result(answer)
