"""From uploads to results: decoders, batcher and bundle put together; no HTTP here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.service.admission import Room, Share, Visit
from pneumoscope.service.batching import Batcher
from pneumoscope.service.decoding import COMMAND, DecoderPool
from pneumoscope.service.metrics import Metrics
from pneumoscope.service.pictures import saliency_png
from pneumoscope.service.schemas import Result
from pneumoscope.service.serving import Live, Served
from pneumoscope.service.settings import Settings
from pneumoscope.service.uploads import Upload

_DRAWERS = 2


@dataclass(slots=True)
class Totals:
    """Images taken in and given back since the start."""

    accepted: int = 0
    answered: int = 0


class Service:
    """Answers uploads.

    Args:
        live: The bundle that answers.
        settings: What is allowed.
        metrics: What is counted.
        decoder: The program that decodes.
    """

    def __init__(
        self,
        live: Live,
        settings: Settings,
        metrics: Metrics,
        *,
        decoder: Sequence[str] = COMMAND,
    ) -> None:
        self.live, self.settings, self.metrics = live, settings, metrics
        live.tell(metrics.model)
        self.totals = Totals()
        self.draining = self.running = False
        self.pool = DecoderPool(settings, command=decoder, on_loss=metrics.decoder_lost)
        self.batcher = Batcher(settings.max_batch, on_batch=metrics.answered)
        self.room = Room(settings.max_queue, settings.max_buffered, wait=self._wait)
        self._decoding = ThreadPoolExecutor(settings.decoders, "decoding")
        self._drawing = ThreadPoolExecutor(_DRAWERS, "drawing")
        # Decoded images are large: no more at a time than keep everybody busy. Maps and pictures
        # are larger: the largest image allowed is worked on alone.
        self._decoded = asyncio.Semaphore(settings.max_batch + settings.decoders)
        self._pixels = Share(settings.max_pixels)
        metrics.watch("queue_images", "Images not yet answered.", lambda: self.room.images)
        metrics.watch(
            "queue_bytes", "Bytes of uploads, pictures and answers held.", lambda: self.room.size
        )
        metrics.watch("decoders_running", "Decoders alive.", lambda: self.pool.alive)

    def start(self) -> None:
        """Start decoders and batcher."""
        self.pool.start()
        self.batcher.start()
        self.running = True

    def close(self) -> None:
        """Finish what was asked, then stop everything."""
        self.running = False
        self._decoding.shutdown()
        self.batcher.close()
        self._drawing.shutdown()
        self.pool.close()

    async def results(
        self,
        uploads: Sequence[Upload],
        served: Served,
        predictor: Predictor,
        *,
        drawing: Visit | None = None,
    ) -> list[Result]:
        """One result per upload, in order.

        Args:
            uploads: What was sent.
            served: The bundle that answers.
            predictor: One of its predictors.
            drawing: Has room for the pictures, one with each result; None: none are asked for.

        Raises:
            Problem: `queue-full` or `too-large`: there is no room for the pictures.
        """
        self.totals.accepted += len(uploads)
        asked = [self._result(one, served, predictor, drawing) for one in uploads]
        found = [await asked[0]] if len(asked) == 1 else await _all(asked)
        self.totals.answered += len(found)
        return found

    async def _result(
        self, upload: Upload, served: Served, predictor: Predictor, drawing: Visit | None
    ) -> Result:
        loop = asyncio.get_running_loop()
        async with self._decoded:
            reading = await loop.run_in_executor(
                self._decoding, self.pool.read, upload.content, served.header
            )
            self.metrics.decoded(reading.milliseconds)
            seen = reading.seen
            async with self._pixels.hold(seen.radiograph.pixels.size if seen else 0):
                question = self.batcher.ask(reading, predictor, saliency=drawing is not None)
                answer = await asyncio.wrap_future(question)
                picture = None
                if drawing is not None:
                    picture = await loop.run_in_executor(self._drawing, saliency_png, answer)
                    drawing.draw(len(picture or ""), most=self.settings.max_pictures)
        # The name goes back to who sent it, and nowhere else.
        content = {**answer.to_json(), "path": upload.name, "saliency_png": picture}
        return Result.model_validate(content)

    def _wait(self) -> float:
        """Seconds until what waits now is answered, as things go."""
        return self.room.images * self.batcher.seconds_per_image


async def _all(asked: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results; the first failure gives up the others."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
