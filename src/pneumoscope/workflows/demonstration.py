"""The demo: the whole path on the data given, else a download, else phantoms."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.core.errors import DownloadError
from pneumoscope.core.files import cache_folder
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.download import fetch, find_data_set
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.training import quickened, train

_PATIENTS = 400


def demo(
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    quick: bool = False,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Train on the defaults and say which data it was.

    Args:
        data: Labelled radiographs; without them PneumoniaMNIST is downloaded, and without a
            network phantoms are drawn.
        output: The run folder.
        quick: A small but complete pass.
        seed: Of everything random.
        reporter: Shown what happens.

    Example:
        ps.demo("chest_xray", quick=True).report
    """
    shown = Noting(reporter or Silent())
    if data:
        chosen = {"data.path": str(data)}
        shown.say(f"Data: the radiographs given, {Path(data).name or data}.")
    else:
        chosen = _fetch_or_draw(shown)
    recipe = override(Recipe(), {"name": "demo", "seed": seed, **chosen})
    recipe = quickened(recipe) if quick else recipe
    return train(recipe, output=output, reporter=reporter, notices=shown.notices)


def _fetch_or_draw(reporter: Reporter) -> dict[str, str]:
    """Fields of the recipe: where the images are, and what is known of them."""
    data_set = find_data_set("pneumoniamnist_224")
    try:
        path = fetch(data_set, folder=cache_folder() / "downloads", reporter=reporter)
    except DownloadError as error:
        reporter.warn(f"PneumoniaMNIST could not be downloaded: {error}")
        return {"data.path": str(_draw(reporter))}
    reporter.say(
        f"Data: {data_set.title}, downloaded (licence {data_set.licence}). {data_set.citation}"
    )
    return {
        "data.path": str(path),
        "data.licence": data_set.licence,
        "data.citation": data_set.citation,
    }


def _draw(reporter: Reporter) -> Path:
    folder = cache_folder() / f"phantoms-v1-{_PATIENTS}"
    if not folder.exists():
        reporter.say("Drawing phantoms ...")
        write_phantoms(folder, patients=_PATIENTS, seed=0)
    reporter.warn(
        "Data: procedural phantoms, drawn by this program. They are no radiographs and say nothing "
        "about patients; give real ones with --data FOLDER."
    )
    return folder
