"""Where a result came from: code, libraries, machine. Never a user name, never a path."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata

from pneumoscope._version import __version__

_LIBRARIES = ("torch", "timm", "numpy", "polars", "onnx", "onnxruntime", "openvino", "scikit-learn")


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that shape a result; absent ones are left out."""
    versions = {"pneumoscope": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def processor() -> str:
    """The processor's name as the operating system gives it, or the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf8") as file:  # noqa: PTH123 - not a data file
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """System, processor and the number of cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {"system": platform.system(), "processor": processor(), "cores": cores}


def provenance() -> dict[str, object]:
    """Time (UTC), library versions and machine of this process."""
    now = datetime.now(tz=UTC).isoformat(timespec="seconds")
    return {"created": now, "versions": library_versions(), "machine": machine()}
