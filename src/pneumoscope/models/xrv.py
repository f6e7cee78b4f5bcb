"""Weights that TorchXRayVision trained on chest radiographs; an optional extra."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from pathlib import Path
from types import ModuleType

from torch import Tensor

from pneumoscope.core.errors import WeightsError


def read_xrv(name: str) -> tuple[Path, dict[str, Tensor]]:
    """The file of TorchXRayVision's weights `name`, and its tensors by timm's names.

    That library fetches the file where needed and reads it with its own loader, which unpickles.

    Raises:
        WeightsError: the library is not installed, has no such weights, or cannot fetch them.
    """
    models = _library()
    known = [key for key in models.model_urls if key.startswith(("densenet", "resnet"))]
    if name not in known:
        raise WeightsError(f"model.weights: xrv:{name}; allowed: {', '.join(known)}.")
    # It announces downloads on standard output, which belongs to our answers.
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            network = models.get_model(name)
    except Exception as error:
        url = str(models.model_urls[name]["weights_url"])
        folder = models.utils.get_cache_dir()
        raise WeightsError(
            f"model.weights: xrv:{name} cannot be read ({type(error).__name__}). Fetch "
            f"{os.path.basename(url)} from {url} into {folder}."  # noqa: PTH119 - of a URL
        ) from error
    state = {key.removeprefix("model."): value for key, value in network.state_dict().items()}
    state.pop("op_threshs", None)
    for head in ("classifier", "fc"):
        state = {key: value for key, value in state.items() if not key.startswith(f"{head}.")}
    return Path(network.weights_filename_local), state


def _library() -> ModuleType:
    # It switches all warnings off when imported.
    with warnings.catch_warnings():
        try:
            return importlib.import_module("torchxrayvision.models")
        except ImportError as error:
            raise WeightsError(
                "model.weights: xrv: needs TorchXRayVision. Run: pip install torchxrayvision"
            ) from error
