"""Runs of an MLflow store: names, metrics and where to see more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pneumoscope.core.errors import DependencyError

_MOST = 200


@dataclass(frozen=True)
class StoredRun:
    """A finished run in a store.

    Attributes:
        name: As shown there.
        metrics: By name, those that were asked for and logged.
        address: Its page; None where the store has no pages.
    """

    name: str
    metrics: Mapping[str, float]
    address: str | None


def store_name(uri: str) -> str:
    """The store's address without user and password."""
    from pneumoscope.core.addresses import shown

    return shown(uri)


def stored_runs(uri: str, metrics: Sequence[str]) -> list[StoredRun]:
    """The finished runs of a store, the best by the first metric first.

    Raises:
        DependencyError: MLflow is not installed.
        StorageError: the store does not answer.
    """
    from pneumoscope.tracking.stores import asking, has_mlflow, store_at

    if not has_mlflow():
        raise DependencyError("an MLflow store needs MLflow. Install pneumoscope[tracking].")
    store = store_at(uri)
    with asking(store) as client:
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(
            experiments, filter_string="attributes.status = 'FINISHED'", max_results=_MOST
        )
    shown = [_run(one, uri, metrics) for one in found]
    return sorted(shown, key=lambda run: (-run.metrics.get(metrics[0], -1.0), run.name))


def _run(found: object, uri: str, metrics: Sequence[str]) -> StoredRun:
    info, data = found.info, found.data  # type: ignore[attr-defined]
    address = None
    if uri.startswith(("http://", "https://")):
        address = (
            f"{store_name(uri).rstrip('/')}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
        )
    values = {
        key: float(value)
        for key in metrics
        for name, value in data.metrics.items()
        if name == f"test/{key}"
    }
    return StoredRun(str(info.run_name), values, address)
