"""What the machine does while a run lasts, under the names that MLflow's own pages expect."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import util
from typing import Any

_MEGA = 1e6
_SECONDS = 10.0


@contextmanager
def sampling(log: Callable[[Mapping[str, float], int], None], first: int = 0) -> Iterator[None]:
    """Log processor, memory and GPU use at the start, the end, and every so often between.

    Every 10 s, or `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`; nothing where psutil is missing.

    Args:
        log: Takes values by name, and the number of the sample.
        first: The number of the first one.
    """
    if util.find_spec("psutil") is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_sample, args=(log, stop, _interval(), first), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=_SECONDS)


def _interval() -> float:
    try:
        return max(0.05, float(os.environ["MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"]))
    except (KeyError, ValueError):
        return _SECONDS


def _sample(
    log: Callable[[Mapping[str, float], int], None],
    stop: threading.Event,
    interval: float,
    first: int,
) -> None:
    import psutil

    process = psutil.Process()
    psutil.cpu_percent()  # the first call only starts its clock
    process.cpu_percent()
    number = first
    while True:
        ended = stop.wait(interval if number > first else 0.1)
        log(system_metrics(process), number)
        number += 1
        if ended:
            return


def system_metrics(process: Any) -> dict[str, float]:
    """Use of processors (%), memory (MB, %) and GPUs at this moment.

    Args:
        process: The `psutil.Process` to look at.
    """
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / _MEGA,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_cpu_utilization_percentage": process.cpu_percent(),
        "system/process_memory_usage_megabytes": process.memory_info().rss / _MEGA,
        **_gpu_metrics(),
    }


def _gpu_metrics() -> dict[str, float]:
    """Of each GPU that this process computes on: a GPU is not woken up to be looked at."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    found: dict[str, float] = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = f"system/gpu_{index}"
        found[f"{name}_memory_usage_megabytes"] = (total - free) / _MEGA
        found[f"{name}_memory_usage_percentage"] = 100 * (total - free) / total
        if util.find_spec("pynvml") is not None:
            found[f"{name}_utilization_percentage"] = float(torch.cuda.utilization(index))
    return found
