"""Walks the whole app in a browser, in both languages, themes and sizes, and keeps pictures of it.

Makes its own phantoms, run and audit unless given some, so every picture is of drawn data. Uploads
good and bad files (see `app_uploads.py`) and checks what each is told, moves every slider, decides
about doubted labels by keys, and opens the files to take along, in both languages; then eight
visitors upload at once (`app_crowd.py`). Reports console errors, requests that leave the machine,
exception boxes, text that overflows, what axe-core finds, how long an upload takes and how much
memory the app. Whatever is found, or cannot be looked at, fails it.

    make screenshots
    python bench/app_walk.py --bundle B --runs R --audit A --output FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from app_crowd import Crowd, crowd
from app_driver import Served, Visit, browsing, serving, upload, visiting
from app_uploads import json_troubles, pdf_troubles, png_troubles, real_files, uploads
from pneumoscope.app.language import LANGUAGES, Language, spoken
from pneumoscope.app.words import common, experiments, review, trying, viewer
from pneumoscope.app.words import evaluation as evaluating

ROOT = Path(__file__).parents[1]
AXE = ROOT / "bench" / "output" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
SERIOUS = ("serious", "critical")
MOST_SECONDS, MOST_MEGABYTES = 1.0, 2048.0
DOUBTED = 4
PLAIN = {
    "name": "again", "seed": 1, "model": {"backbone": "cnn3", "weights": "none"},
    "gate.enabled": False, "evaluate.audit.enabled": False,
}  # fmt: skip
"""Of the second run: another network, on the same split."""


@dataclass
class Findings:
    """What a walk found.

    Attributes:
        troubles: What must not be.
        axe: Rule to where it was broken, of serious ones and worse.
        seconds: From giving a file to its answer.
        outcomes: File, language, what the page told, and whether that is right.
        crowd: What came of many visitors at once.
    """

    troubles: list[str] = field(default_factory=list)
    axe: dict[str, set[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    outcomes: list[tuple[str, str, str, bool]] = field(default_factory=list)
    crowd: Crowd | None = None


def made(folder: Path) -> dict[str, Path]:
    """Phantoms, two runs on them, and an audit that doubts labels, made where they are missing."""
    import pneumoscope as ps
    from pneumoscope.core.recipe import Recipe, override
    from pneumoscope.data.phantoms import write_phantoms
    from pneumoscope.workflows.training import quickened

    data, run, audit = folder / "phantoms", folder / "runs" / "phantoms", folder / "audit"
    if not data.exists():
        write_phantoms(data, patients=240, size=160, seed=4)
        # Under both labels, so that Review has something to ask.
        for place, file in enumerate(sorted((data / "NORMAL").iterdir())[:DOUBTED]):
            shutil.copy(file, data / "PNEUMONIA" / f"again{place}.png")
    recipe = quickened(override(Recipe(), {"name": "phantoms", "data.path": str(data)}))
    if not run.exists():
        ps.train(recipe, output=run)
    if not (other := run.with_name("again")).exists():
        changed = override(recipe, {**PLAIN, "split.file": str(run / "split.parquet")})
        ps.train(changed, output=other)
    if not audit.exists():
        ps.audit([data], output=audit, bundle=run / "bundle", fix=True)
    return {"bundle": run / "bundle", "runs": run.parent, "audit": audit}


def pages(visit: Visit, language: Language, name: str, output: Path, found: Findings) -> None:
    """Every page by the navigation, with a picture of each."""
    visit.open(language)
    for page, text in common.PAGES.items():
        visit.go(spoken(text, language))
        if page == "try":
            label = spoken(trying.EXAMPLE, language, label="PNEUMONIA")
            visit.page.get_by_role("button", name=label).click()
            visit.page.locator(".viewer .grey").first.wait_for(timeout=30_000)
            visit.settle()
        where = f"{page}-{name}"
        visit.check(where)
        if f"lang={language}" not in visit.page.url:
            visit.troubles.append(f"{where}: the address lost its language")
        picture(visit, output / f"{where}.png")
        judge(visit, where, found)


def picture(visit: Visit, path: Path) -> None:
    """The whole page, however long."""
    page = visit.page
    size = page.viewport_size or {"width": 1440, "height": 900}
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], tall)})
    page.wait_for_timeout(250)
    page.screenshot(path=path)
    page.set_viewport_size(size)


def judge(visit: Visit, where: str, found: Findings) -> None:
    """What axe-core says of the page, where it is installed."""
    if not AXE.is_file():
        return  # said once, in `missing`
    visit.page.evaluate(AXE.read_text(encoding="utf8"))
    result: Any = visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for one in result["violations"]:
        if one["impact"] in SERIOUS:
            for node in one["nodes"]:
                target = " ".join(map(str, node["target"]))
                told = f"{where}: {target} | {node['html'][:140]}"
                found.axe.setdefault(f"{one['id']} ({one['impact']}): {one['help']}", set()).add(
                    told
                )


def tries(visit: Visit, language: Language, output: Path, found: Findings) -> None:
    """Every upload has its outcome and its reason, with its picture where it is a drawn one."""
    page = visit.page
    visit.open(language)
    visit.go(spoken(common.PAGES["try"], language))
    for one in uploads():
        began = time.perf_counter()
        page.locator("input[type=file]").set_input_files([upload(one.name, one.content)])
        done = spoken(trying.OF_FILE, language, name=one.name, done="").strip()
        page.get_by_text(done).first.wait_for(timeout=60_000)
        found.seconds.append(time.perf_counter() - began)
        visit.settle()
        notice = page.locator(".notice:not(.quiet)").last
        title, told = notice.locator("b").inner_text(), notice.inner_text()
        fits = decided(title, language) in one.decisions and one.told[language] in plain(told)
        if not fits:
            visit.troubles.append(f"{one.name}, {language}: {told!r}, not one of {one.decisions}")
        found.outcomes.append((one.name, language, plain(told), fits))
        visit.check(f"{one.name}, {language}")
        if one.drawn:
            picture(visit, output / f"upload-{one.name.replace('.', '-')}-{language}.png")
        page.get_by_test_id("stFileChipDeleteBtn").first.click()
        visit.settle()


def decided(title: str, language: Language) -> str:
    """Which decision the page tells by this title; any that is none of the others is a label."""
    told = {
        spoken(text, language): name
        for name, text in trying.DECISIONS.items()
        if name in ("abstain", "refused", "unreadable")
    }
    several = spoken(trying.DECISIONS["set"], language, labels="")
    return told.get(title, "set" if title.startswith(several) else "answer")


def plain(text: str) -> str:
    """Text with spaces of one width."""
    return " ".join(text.split())


def looks(visit: Visit, language: Language) -> None:
    """Opacity, label, window and zoom, by keyboard where it is a slider."""
    page = visit.page
    words = {name: spoken(text, language) for name, text in viewer.VIEWER.items()}
    example = spoken(trying.EXAMPLE, language, label="NORMAL")
    page.get_by_role("button", name=example).click()
    page.locator(".viewer .grey").first.wait_for(timeout=30_000)
    visit.settle()
    over = page.locator(".over")
    slider = page.get_by_role("slider", name=words["opacity"], exact=True)
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(visit, "opacity", over.evaluate("o => getComputedStyle(o).opacity"), "0.5")
    page.locator(".choices label", has_text="PNEUMONIA").click()
    expect(visit, "label", "PNEUMONIA" in str(over.get_attribute("alt")), True)
    page.get_by_role("slider", name=words["window"], exact=True).fill("100")
    filtered = page.locator(".grey").first.evaluate("o => getComputedStyle(o).filter")
    expect(visit, "window", filtered.startswith("url("), True)
    page.get_by_role("slider", name=words["zoom"], exact=True).fill("200")
    moved = page.locator(".stack").first.evaluate("o => o.style.transform")
    expect(visit, "zoom", moved, "translate(-50%, -50%) scale(2)")
    page.get_by_role("button", name=words["reset"]).click()
    expect(visit, "reset", over.evaluate("o => getComputedStyle(o).opacity"), "0.45")


def takes(visit: Visit, language: Language, output: Path) -> None:
    """PDF, PNG and JSON of the answer on the page open, and say what the page says."""
    title = visit.page.locator(".notice:not(.quiet) b").last.inner_text()
    for text in (trying.PDF, trying.PNG, trying.JSON):
        name = spoken(text, language)
        with visit.page.expect_download() as waiting:
            visit.page.get_by_role("button", name=name, exact=True).click()
        content = waiting.value.path().read_bytes()
        file = Path(waiting.value.suggested_filename)
        kept = output / f"{file.stem}-{language}{file.suffix}"
        kept.write_bytes(content)
        if text is trying.PDF:
            troubles = pdf_troubles(content, title, language)
        elif text is trying.JSON:
            troubles = json_troubles(content, title)
        else:
            troubles = png_troubles(content)
        visit.troubles += [f"{kept.name}: {trouble}" for trouble in troubles]


def moves(visit: Visit, language: Language) -> None:
    """Threshold and prevalence change the figures, by keyboard."""
    page = visit.page
    visit.open(language)
    visit.go(spoken(common.PAGES["evaluation"], language))
    for at, text in enumerate((evaluating.THRESHOLD, evaluating.PREVALENCE)):
        before = page.locator(".tiles").first.inner_text()
        slider = page.get_by_role("slider").nth(at)
        slider.focus()
        # Far, for few probabilities may lie close together.
        for _ in range(100):
            page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(600)
        visit.settle()
        changed = page.locator(".tiles").first.inner_text() != before
        expect(visit, spoken(text, language, label=""), changed, True)


def compares(visit: Visit, language: Language) -> None:
    """Two runs stand side by side, and are tested against each other."""
    visit.open(language)
    visit.go(spoken(common.PAGES["experiments"], language))
    table = visit.page.get_by_role("region", name=spoken(experiments.TEST, language), exact=True)
    expect(visit, "paired test", table.locator("tbody tr").count() > 0, True)
    roc = visit.page.locator("figure", has_text=spoken(experiments.ROC, language))
    expect(visit, "ROC of both runs", roc.count() > 0, True)


def reviews(visit: Visit, language: Language) -> None:
    """Doubted labels are decided on by keys alone."""
    page = visit.page
    visit.open(language)
    visit.go(spoken(common.PAGES["review"], language))
    for decided, (key, verdict) in enumerate(
        (("k", "keep"), ("l", "relabel"), ("x", "exclude")), start=1
    ):
        page.keyboard.press(key)
        page.wait_for_timeout(400)
        visit.settle()
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(400)
        visit.settle()
        told = plain(page.locator("dl.facts").first.inner_text())
        wanted = spoken(review.DECISIONS[verdict], language, label="").strip()
        expect(visit, f"{key} on Review", wanted in told, True)
        save = page.get_by_role("button", name=spoken(review.SAVE, language, n=decided))
        expect(visit, f"{decided} decisions", save.count(), 1)
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(400)
        visit.settle()


def missing() -> list[str]:
    """What cannot be looked at here, and what to do about it."""
    found = []
    if not AXE.is_file():
        found.append(f"no axe-core: npm install --prefix {AXE.parents[2]} axe-core@4")
    if not list(real_files()):
        found.append("no real photograph or brain scan: set PNEUMOSCOPE_DATA")
    if not shutil.which("pdftotext"):
        found.append("no pdftotext: apt install poppler-utils")
    return found


def expect(visit: Visit, what: str, found: object, wanted: object) -> None:
    """Note what is not as it has to be."""
    if found != wanted:
        visit.troubles.append(f"{what}: {found!r}, not {wanted!r}")


def walk(address: Served, output: Path, bundle: Path) -> Findings:
    """The whole walk, and the crowd at its end."""
    found = Findings()
    with browsing() as browser:
        for size, (width, height) in SIZES.items():
            for theme in THEMES:
                for language in LANGUAGES:
                    visit = visiting(
                        browser, address, width=width, height=height, color_scheme=theme
                    )
                    pages(visit, language, f"{language}-{theme}-{size}", output, found)
                    found.troubles += visit.troubles
                    visit.page.context.close()
        for language in LANGUAGES:
            visit = visiting(browser, address, width=1440, height=900)
            tries(visit, language, output, found)
            looks(visit, language)
            takes(visit, language, output)
            moves(visit, language)
            compares(visit, language)
            reviews(visit, language)
            found.troubles += visit.troubles
            visit.page.context.close()
        found.crowd = crowd(browser, address, bundle=bundle, pid=address.pid)
        found.troubles += found.crowd.wrong
    return found


def report(found: Findings, output: Path) -> int:
    """Print and keep what was found; the exit status."""
    for name, language, told, fits in found.outcomes:
        print(f"{'right' if fits else 'WRONG'}  {language}  {name:<16} {told[:110]}")
    judged = measured(found)
    for rule, places in sorted(found.axe.items()):
        print(f"axe {rule}")
        for place in sorted(places):
            print(f"    {place}")
    lacking = missing()
    print(f"{len(found.troubles)} troubles, {len(found.axe)} serious axe rules broken")
    for trouble in [*found.troubles, *lacking]:
        print(f"  {trouble}")
    content = {
        "seconds": found.seconds, "outcomes": found.outcomes, "troubles": found.troubles,
        "missing": lacking, "judged": judged,
        "axe": {rule: sorted(places) for rule, places in found.axe.items()},
        "crowd": None if found.crowd is None else asdict(found.crowd),
    }  # fmt: skip
    (output / "walk.json").write_text(json.dumps(content, indent=1, ensure_ascii=False))
    return 1 if found.troubles or found.axe or lacking else 0


def measured(found: Findings) -> dict[str, dict[str, float | bool]]:
    """Time and memory against what is wanted; said, for they depend on the machine."""
    slow = statistics.quantiles(found.seconds, n=20)[-1]
    judged: dict[str, dict[str, float | bool]] = {
        "upload to answer, p95, s": {"value": slow, "met": slow < MOST_SECONDS},
    }
    if found.crowd is not None:
        most = found.crowd.megabytes
        judged["memory with eight visitors, MiB"] = {"value": most, "met": most < MOST_MEGABYTES}
        right = found.crowd.answers - len(found.crowd.wrong)
        print(f"eight visitors at once: {right} of {found.crowd.answers} answers are their own")
    for name, one in judged.items():
        print(f"{name}: {one['value']:.2f}, met {'yes' if one['met'] else 'no'}")
    return judged


def main(arguments: Sequence[str] | None = None) -> int:
    """Walk, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "runs", "audit"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "output" / "app")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    shown = {name: getattr(given, name) for name in ("bundle", "runs", "audit")}
    if None in shown.values():
        shown = made(given.output / "made") | {k: v for k, v in shown.items() if v is not None}
    options = [part for name, path in shown.items() for part in (f"--{name}", str(path))]
    with ExitStack() as stack:
        found = walk(stack.enter_context(serving(*options)), given.output, shown["bundle"])
    return report(found, given.output)


if __name__ == "__main__":
    sys.exit(main())
