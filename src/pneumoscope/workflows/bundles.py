"""What BUNDLE may be on the command line: a folder, a zip, or a registered model's address."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.bundle.predictor import Predictor

_SCHEME = "models:"


def bundle_at(address: str | Path) -> Path:
    """The bundle's folder or zip; one of the registry is fetched, once, and verified.

    Args:
        address: A path, or `models:/NAME@alias` or `models:/NAME/VERSION` in the MLflow store at
            `MLFLOW_TRACKING_URI`, else in `runs`.

    Raises:
        InputError: there is no such model; it is said which there are.
        StorageError: the store cannot be reached or refuses.
        DependencyError: MLflow is missing.
    """
    path = Path(address)
    text = path.as_posix()
    if not text.startswith(_SCHEME) or path.exists():
        return path
    from pneumoscope.tracking.models import resolve

    return resolve(text)


def open_predictor(address: str | Path, *, runtime: str = "auto") -> Predictor:
    """The predictor of the bundle at an address, as `bundle_at` takes it.

    Raises:
        BundleError: the bundle is incomplete or changed.
        InputError, StorageError, DependencyError: as `bundle_at`.
    """
    return Predictor.open(bundle_at(address), runtime=runtime)
