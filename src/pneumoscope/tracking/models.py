"""Bundles as MLflow models: saved without pickle, registered, found again under their alias."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pneumoscope.bundle.archive import Bundle, open_bundle
from pneumoscope.core.errors import BundleError, InputError, StorageError
from pneumoscope.core.files import cache_folder, staged_folder
from pneumoscope.tracking.naming import MODEL_TAG
from pneumoscope.tracking.serving import IMAGE, PATH, TEXTS
from pneumoscope.tracking.stores import Store, asking, choose_store

CHAMPION = "champion"
SCHEME = "models:/"

_DATA = "data"
_MOST = 20
_NAME = re.compile(r"[^/:@]{1,200}")
_ID = re.compile(r"m-[0-9a-f]{32}")
_LOADER = "pneumoscope.tracking.serving"
_NEEDS = ("pneumoscope", "mlflow", "pandas")


@dataclass(frozen=True)
class Version:
    """A registered model.

    Attributes:
        name: Of the registered model.
        number: Of the version.
        run_id: The run that made it.
        model_id: The logged model it is.
        tags: By name.
    """

    name: str
    number: int
    run_id: str
    model_id: str
    tags: Mapping[str, str]


def save_model(bundle: Path, folder: Path, *, run_id: str, model_id: str) -> None:
    """Write an MLflow model around a bundle: signature, input example, requirements, no pickle.

    Raises:
        BundleError: it is no bundle.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's imports, about MLflow's own type hints
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=_LOADER,
            data_path=str(bundle),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            signature=_signature(open_bundle(bundle)),
            input_example=_example(),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _NEEDS],
        )


def register(
    store: Store, run_id: str, name: str, *, tags: Mapping[str, str] | None = None
) -> Version:
    """The version that the run's model is registered as; the same one if asked again.

    Raises:
        StorageError: the store refuses, or the run has no model.
        InputError: the name cannot be one.
    """
    check_name(name)
    with asking(store) as client:
        model_id = client.get_run(run_id).data.tags.get(MODEL_TAG)
        if model_id is None:
            raise StorageError(
                f"{store.shown}: run {run_id} has no model. Tell the store first: "
                "pneumoscope sync FOLDER."
            )
        for known in _versions(client, name):
            if known.model_id == model_id:
                return known
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name)
        # Its address models:/ID would be looked up in MLflow's global store, not in this one.
        place = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(
            name,
            place,
            run_id,
            tags={**(tags or {}), MODEL_TAG: model_id},
            model_id=model_id,
        )
        return _version(made)


def version_at(store: Store, name: str, alias: str = CHAMPION) -> Version | None:
    """The version under an alias, None where there is none.

    Raises:
        StorageError: the store refuses.
    """
    check_name(name)
    with asking(store) as client:
        from mlflow.exceptions import MlflowException

        try:
            return _version(client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def champion_of(name: str, *, uri: str | None = None, runs: Path = Path("runs")) -> Version | None:
    """The champion of this name in the store at `uri`, the environment's, or that of `runs`."""
    return version_at(choose_store(uri, runs), name)


def resolve(address: str, *, uri: str | None = None, runs: Path = Path("runs")) -> Path:
    """The local bundle folder of `models:/NAME@alias` or `models:/NAME/3`, fetched once.

    Raises:
        InputError: the address is none, or there is no such model.
        StorageError: the store cannot be reached or refuses, or names a model as MLflow does not.
        BundleError: what was fetched is no bundle, or was changed.
    """
    store = choose_store(uri, runs)
    version = _named(store, address)
    place = _place_of(version, store)
    if not _is_bundle(place):
        shutil.rmtree(place, ignore_errors=True)
        with staged_folder(place) as stage:
            fetch_model(store, version.model_id, stage)
    open_bundle(place)
    return place


def _place_of(version: Version, store: Store) -> Path:
    """Where the version's bundle is cached; whoever may edit its tags chooses no other folder."""
    shelf = cache_folder() / "models"
    # A model's id never means another model, but another store may be asked for it.
    place = shelf / version.model_id
    if not _ID.fullmatch(version.model_id):
        raise StorageError(
            f"{SCHEME}{version.name}/{version.number}: {store.shown} says its model is "
            f"{version.model_id[:80]!r}; allowed: m- and 32 hexadecimal digits. Correct the "
            f"version's tag {MODEL_TAG}."
        )
    if place.resolve().parent != shelf.resolve():
        raise StorageError(f"{place}: leads out of the cache. Remove the link.")
    return place


def fetch_model(store: Store, model_id: str, folder: Path) -> None:
    """Write the bundle of a logged model into an empty folder.

    Raises:
        StorageError: the store cannot be reached or refuses.
    """
    with asking(store) as client, tempfile.TemporaryDirectory(prefix="pneumoscope-") as scratch:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        place = client.get_logged_model(model_id).artifact_location
        files = get_artifact_repository(place, tracking_uri=store.uri, registry_uri=store.uri)
        files.download_artifacts(_DATA, scratch)
        for file in sorted((Path(scratch) / _DATA).rglob("bundle.json"))[:1]:
            shutil.copytree(file.parent, folder, dirs_exist_ok=True)


def fetch_file(store: Store, run_id: str, name: str, folder: Path) -> Path:
    """The local copy in `folder` of a run's artefact.

    Raises:
        StorageError: the store refuses, or the run has no such artefact.
    """
    with asking(store) as client:
        return Path(client.download_artifacts(run_id, name, str(folder)))


def check_name(name: str) -> None:
    """Refuse what cannot be a registered model's name.

    Raises:
        InputError: it holds '/', ':' or '@', or is empty.
    """
    if not _NAME.fullmatch(name) or "'" in name:
        raise InputError(f"model name '{name}': is empty or holds / : @ or '. Give another.")


def _named(store: Store, address: str) -> Version:
    name, mark, which = address.removeprefix(SCHEME).partition("@")
    if not mark:
        name, mark, which = address.removeprefix(SCHEME).partition("/")
    if not address.startswith(SCHEME) or not name or not which:
        raise InputError(
            f"{address}: is no registered model. Write models:/NAME@alias or models:/NAME/VERSION."
        )
    check_name(name)
    if not store.exists():
        raise InputError(
            f"{address}: there is no store at {store.shown}. Say where it is by "
            "MLFLOW_TRACKING_URI, or promote a run: pneumoscope promote RUN."
        )
    found = _numbered(store, name, which) if mark == "/" else version_at(store, name, which)
    if found is None:
        raise InputError(f"{address}: {store.shown} has no such model; {_known(store, name)}.")
    return found


def _known(store: Store, name: str) -> str:
    """What there is instead: of this name, else of others."""
    with asking(store) as client:
        versions = sorted(version.number for version in _versions(client, name))
        if versions:
            aliases = client.get_registered_model(name).aliases
            named = [f"@{alias} (version {number})" for alias, number in sorted(aliases.items())]
            return f"{name} has {', '.join([*named, *(f'/{number}' for number in versions)])}"
        names = sorted(model.name for model in client.search_registered_models(max_results=_MOST))
    if names:
        return f"it has {', '.join(names)}"
    return f"it has none yet. Promote a run: pneumoscope promote RUN --name {name}"


def _numbered(store: Store, name: str, number: str) -> Version | None:
    with asking(store) as client:
        return next((v for v in _versions(client, name) if str(v.number) == number), None)


def _versions(client: Any, name: str) -> list[Version]:
    return [_version(found) for found in client.search_model_versions(f"name = '{name}'")]


def _version(found: Any) -> Version:
    tags = dict(found.tags)
    model_id = tags.get(MODEL_TAG) or str(found.model_id)  # asked by alias, MLflow leaves it out
    return Version(found.name, int(found.version), found.run_id, model_id, tags)


def _is_bundle(folder: Path) -> bool:
    try:
        open_bundle(folder)
    except BundleError:
        return False
    return True


def _signature(bundle: Bundle) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    asked = [ColSpec("string", name, required=False) for name in (IMAGE, PATH)]
    texts = [ColSpec("string", name, required=False) for name in TEXTS]
    shares = [
        ColSpec("double", f"probability:{label}", required=False) for label in bundle.spec.labels
    ]
    return ModelSignature(inputs=Schema(asked), outputs=Schema([*texts, *shares]))


def _example() -> Any:
    """One drawn grey wedge: no radiograph of anybody."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    wedge = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    file = io.BytesIO()
    Image.fromarray(wedge).save(file, format="PNG")
    return pd.DataFrame({IMAGE: [base64.b64encode(file.getvalue()).decode()]})
