"""The registry's side of promoting: who is champion, and who made it so, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pneumoscope.tracking.models import CHAMPION, Version, register, version_at
from pneumoscope.tracking.stores import Store, asking

WHO, WHEN, WHY = "pneumoscope.promoted_by", "pneumoscope.promoted_at", "pneumoscope.promoted_why"
REPLACED = "pneumoscope.replaced_at"
BYTES = "pneumoscope.bundle_bytes"

_USE = "For research use. Not a medical device."


@dataclass(frozen=True)
class Promotion:
    """One entry of a registered model's history.

    Attributes:
        version: The version promoted.
        who: The person or account.
        when: ISO 8601, UTC.
        why: In words.
        replaced: When another took its place, None while it is champion.
    """

    version: int
    who: str
    when: str
    why: str
    replaced: str | None


def current_champion(store: Store, name: str) -> Version | None:
    """The champion of this name, None where there is none yet."""
    return version_at(store, name, CHAMPION)


def set_champion(
    store: Store,
    name: str,
    run_id: str,
    *,
    who: str,
    why: str,
    about: str,
    facts: Mapping[str, str],
    when: str | None = None,
) -> Version:
    """The version of the run's model, now the champion, with who, when and why written to it.

    Args:
        store: Where the run is and the model is registered.
        name: Of the registered model.
        run_id: A run with a model.
        who: The person or account.
        why: In words.
        about: What the model is, in Markdown; with `why` the version's description.
        facts: Further tags of the version.
        when: ISO 8601; default now, UTC.

    Raises:
        StorageError: the store refuses, or the run has no model.
    """
    moment = when or datetime.now(tz=UTC).isoformat(timespec="seconds")
    before = current_champion(store, name)
    version = register(store, run_id, name)
    tags = {**facts, WHO: who, WHEN: moment, WHY: why}
    with asking(store) as client:
        for key, value in tags.items():
            client.set_model_version_tag(name, str(version.number), key, value)
        described = f"{about}\n\nPromoted by {who}, {moment[:10]}: {why}."
        client.update_model_version(name, str(version.number), description=described)
        whose = f"{about}\n\nThat is version {version.number}, `models:/{name}@{CHAMPION}`."
        client.update_registered_model(name, description=f"{whose} {_USE}")
        client.set_registered_model_alias(name, CHAMPION, str(version.number))
        if before is not None and before.number != version.number:
            client.set_model_version_tag(name, str(before.number), REPLACED, moment)
        if REPLACED in version.tags:  # champion again
            client.delete_model_version_tag(name, str(version.number), REPLACED)
    return Version(name, version.number, run_id, version.model_id, {**version.tags, **tags})


def promotions(store: Store, name: str) -> list[Promotion]:
    """Everything that was promoted under this name, the latest first."""
    with asking(store) as client:
        found = client.search_model_versions(f"name = '{name}'")
    entries = [
        Promotion(int(v.version), v.tags[WHO], v.tags[WHEN], v.tags[WHY], v.tags.get(REPLACED))
        for v in found
        if WHEN in v.tags
    ]
    return sorted(entries, key=lambda entry: entry.when, reverse=True)
