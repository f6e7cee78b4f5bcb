"""What BUNDLE may be: a folder, a zip, a registered model's address, or the name of what ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pneumoscope.bundle.champion import CHAMPION, packaged_champion
from pneumoscope.bundle.members import is_bundle_like
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError
from pneumoscope.core.files import is_there

__all__ = ["CHAMPION", "bundle_at", "load_bundle", "split_arguments"]

_SCHEME = "models:"


def bundle_at(address: str | Path = CHAMPION) -> Path:
    """The bundle's folder or zip; one of the registry is fetched, once, and verified.

    Args:
        address: `champion`, the bundle that ships (a folder of that name is `./champion`, or a
            `Path`); a path; or `models:/NAME@alias` or `models:/NAME/VERSION` in the MLflow store
            at `MLFLOW_TRACKING_URI`, else in `runs`.

    Raises:
        InputError: there is no such model; it is said which there are.
        BundleError: no champion ships with this version.
        WeightsError: the champion was changed.
        StorageError: the store cannot be reached or refuses.
        DependencyError: MLflow is missing.
    """
    if address == CHAMPION:
        return packaged_champion()
    path = Path(address)
    text = path.as_posix()
    if not text.startswith(_SCHEME) or path.exists():
        return path
    from pneumoscope.tracking.models import resolve

    return resolve(text)


def load_bundle(address: str | Path = CHAMPION, *, runtime: str = "auto") -> Predictor:
    """The predictor of a bundle; without an address, of the champion that ships.

    Args:
        address: Folder, zip, `models:/NAME@alias`, or `champion`; see `bundle_at`.
        runtime: `auto`, `fastest`, `openvino`, `onnxruntime` or `torch`, see `bundle.runtimes`.

    Raises:
        BundleError: the bundle is incomplete or changed, or no champion ships.
        InputError, WeightsError, StorageError, DependencyError: as `bundle_at`.

    Example:
        predictor = ps.load_bundle("runs/first/bundle")
        for answer in predictor.predict_many(["a.png", "b.dcm"]):
            answer.path, answer.label, answer.probabilities
    """
    return Predictor.open(bundle_at(address), runtime=runtime)


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[Path]]:
    """The bundle among `[BUNDLE] PATH...`, None where none is named, and the paths.

    The first argument is the bundle where it is `champion`, an address `models:/...`, a folder that
    holds a bundle's files or that `train` wrote, or a zip; nothing of it is verified here.

    Raises:
        InputError: the first argument is neither a bundle nor there, or a bundle comes later.
    """
    first, *others = arguments
    if _names_bundle(first):
        return first, [Path(path) for path in others]
    if not is_there(Path(first)):
        raise InputError(
            f"{first}: does not exist. Give a bundle (a folder, a zip, models:/NAME@alias or "
            f"{CHAMPION}), or image files and folders."
        )
    for other in others:
        if _names_bundle(other):
            raise InputError(f"{other}: is a bundle. Name it before the images.")
    return None, [Path(path) for path in arguments]


def _names_bundle(argument: str) -> bool:
    if argument == CHAMPION:
        return True
    path = Path(argument)
    return is_bundle_like(path) or (argument.startswith(_SCHEME) and not path.exists())
