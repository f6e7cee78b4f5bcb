"""The log: a JSON object per line; no path, no file name, no content of an image or a header."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO


class Journal:
    """Writes events, one per line.

    Args:
        stream: Where to; standard error where None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, event: str, **facts: object) -> None:
        """Write an event; a stream that is gone is no reason to stop answering."""
        time = datetime.now(tz=UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, **facts}, default=str)
        stream = self._stream or sys.stderr
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            return

    def failure(self, error: BaseException, **facts: object) -> None:
        """Write what failed and where in the program; never the message, which may quote."""
        self.write("failure", error=type(error).__name__, at=_places(error.__traceback__), **facts)


class JournalHandler(logging.Handler):
    """Brings what a library logs into the journal: its words, without tracebacks."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._journal.failure(error, logger=record.name)
        else:
            self._journal.write("server", level=record.levelname, message=record.getMessage())


def _places(traceback: TracebackType | None) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-8:]
