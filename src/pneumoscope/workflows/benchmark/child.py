"""What a process of its own does for a benchmark: the trainings that standard input tells."""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
import time

from pneumoscope.workflows.benchmark.record import Job

_PATIENCE = 10
"""Seconds in which an interrupted training may clean up."""


def main() -> None:
    """Do the jobs in turn, a line on standard output after each."""
    jobs = [Job.from_json(content) for content in json.loads(sys.stdin.readline())]
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    done = threading.Event()
    threading.Thread(target=_end_with_parent, args=(done,), daemon=True).start()
    for job in jobs:
        record = job.run()
        said.write("ended\n")
        said.flush()
        if record.hopeless:
            break
    done.set()


def _end_with_parent(done: threading.Event) -> None:
    """Interrupt this process when its standard input is closed, as it is where the parent ends."""
    while os.read(0, 4096):
        pass
    if not done.is_set():
        _thread.interrupt_main()
        time.sleep(_PATIENCE)
        os._exit(1)


if __name__ == "__main__":
    main()
