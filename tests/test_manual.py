"""The manual is true: generated parts are current, pages are linked, blocks of code run."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from app_driver import dicom
from check_site import foreign
from pneumoscope._version import __version__
from pneumoscope.bundle.archive import CARD, open_bundle
from pneumoscope.bundle.champion import packaged_champion
from pneumoscope.cli.arguments import recipe_from
from pneumoscope.cli.main import app
from pneumoscope.core.recipe import Recipe, load_recipe, override, parse_recipe
from pneumoscope.core.recipe.space import parse_space
from pneumoscope.workflows.results import TrainResult
from reference import DOCS, pages, render

ROOT = DOCS.parent
PAGES = sorted(DOCS.rglob("*.md"))
READMES = (ROOT / "README.md", ROOT / "README.fr.md")
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE
)
_MARK = re.compile(r"<!-- (run|not run: .+) -->\n\s*\Z")
_STARTS = ("tutorial.md", "tour.", "champion.md", "how-to", "reference", "serving.md", "app.md")
TRANSLATED = (READMES, (DOCS / "tour.md", DOCS / "tour.fr.md"))


@dataclass(frozen=True)
class Block:
    """A fenced block of code: what it is, and the mark before it."""

    page: str
    kind: str
    code: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}: {self.code.splitlines()[0]}"


def blocks(*kinds: str) -> list[Block]:
    """The blocks of READMEs, tutorial, tour, guides and reference, in order."""
    found = []
    named = {page.relative_to(DOCS).as_posix(): page for page in PAGES}
    chosen = {name: page for name, page in named.items() if name.startswith(_STARTS)}
    for name, page in {**{page.name: page for page in READMES}, **chosen}.items():
        text = page.read_text("utf8")
        for block in _BLOCK.finditer(text):
            mark = _MARK.search(text[: block.start()])
            code = re.sub(rf"^{block['indent']}", "", block["code"], flags=re.MULTILINE)
            found.append(Block(name, block["kind"], code, mark[1] if mark else ""))
    return [block for block in found if block.kind in kinds]


def commands(block: Block) -> Iterator[list[str]]:
    """The words after `pneumoscope` of each command in the block."""
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        words = words[: next((n for n, word in enumerate(words) if word in (">", "|")), None)]
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
        if words[:1] == ["torchrun"]:
            words = words[words.index("-m") + 1 :]
        if words[:1] == ["pneumoscope"]:
            yield words[1:]


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's name and its values, as the command line itself understands the words."""
    command: Any = typer.main.get_command(app)
    path, parent = [], None
    while hasattr(command, "commands"):
        parent = command.context_class(command, info_name="pneumoscope", parent=parent)
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    return " ".join(path), command.make_context(path[-1], list(words), parent=parent).params


@pytest.fixture
def workspace(
    trained: TrainResult, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder in which the names that the pages use are there."""
    from PIL import Image

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(trained.output)
    (tmp_path / "chest_xray").symlink_to(phantoms)
    image = sorted((phantoms / "NORMAL").iterdir())[0]
    (tmp_path / "image.png").write_bytes(image.read_bytes())
    with Image.open(image) as picture:
        import numpy as np

        (tmp_path / "chest.dcm").write_bytes(dicom(np.asarray(picture.convert("L"))))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    text = page.read_text("utf8")
    assert text == render(text), "run `make docs`, or `python manual/reference.py`"


def test_every_page_is_in_the_navigation_once() -> None:
    def named(entries: Any) -> Iterator[str]:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from [entry] if isinstance(entry, str) else named(entry)

    found = list(named(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf8"))["nav"]))
    assert sorted(found) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, *ROOT.glob("*.md")]:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf8"), flags=re.DOTALL)
        for place in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", place):
                continue
            name, _, anchor = place.partition("#")
            target = (page.parent / name) if name else page
            assert target.exists(), f"{page.name}: {place}"
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf8"), re.M) if anchor else []
            slugs = {
                re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings
            }
            assert not anchor or anchor in slugs, f"{page.name}: {place}"


def test_python_blocks_run(workspace: Path) -> None:
    del workspace
    ran = 0
    for block in blocks("python"):
        # Generated blocks: doctests of their own, and how something is called.
        if "import " in block.code and not block.page.startswith("README") and not block.mark:
            compiled = compile(block.code, str(block), "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compiled, {"__name__": "manual"})
            ran += 1
    assert ran >= 3


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_of_the_manual_are_understood(block: Block) -> None:
    found = list(commands(block))
    known = re.search(r"^make |\bpneumoscope ", block.code, re.M)
    assert known or block.mark.startswith("not run"), "run nothing? say `<!-- not run: why -->`"
    for target in re.findall(r"^make ([a-z-]+)", block.code, re.M):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target
    for words in found:
        _, values = parsed(words)
        if changes := values.get("changes"):
            source = ROOT / values["source"]
            recipe = source if source.is_file() else DOCS
            recipe_from(recipe, changes, fields={}, quick=bool(values["quick"]))


def test_marked_commands_really_run(workspace: Path) -> None:
    ran = [words for block in blocks("sh") if block.mark == "run" for words in commands(block)]
    assert len(ran) >= 5
    for words in ran:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (words, done.stderr)
    assert list((workspace / "overlays").iterdir())


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_of_the_manual_is_a_recipe_or_a_space(block: Block) -> None:
    content = yaml.safe_load(block.code)
    if any("." in name for name in content):
        recipe = override(load_recipe(ROOT / "recipes" / "default.yaml"), {})
        assert parse_space(content, recipe).fields
    else:
        assert parse_recipe(content) != Recipe()


@pytest.mark.parametrize("pair", TRANSLATED, ids=lambda pair: pair[0].stem)
def test_the_french_page_follows_the_english(pair: tuple[Path, Path]) -> None:
    english, french = (page.read_text("utf8") for page in pair)
    for pattern in (r"^#+ ", r"^\|", r"!?\]\([^)]+\)"):
        counts = [len(re.findall(pattern, text, re.M)) for text in (english, french)]
        assert counts[0] == counts[1], pattern
    commands_of = [
        [
            re.sub(r"\s*#.*", "", block.code)
            for block in blocks("sh", "python")
            if block.page == page.name
        ]
        for page in pair
    ]
    assert commands_of[0] == commands_of[1]


def test_the_readme_is_one_screen() -> None:
    assert max(len(page.read_text("utf8").splitlines()) for page in READMES) <= 90


@pytest.mark.parametrize("pair", TRANSLATED, ids=lambda pair: pair[0].stem)
def test_commands_can_be_pasted_one_after_the_other(pair: tuple[Path, Path]) -> None:
    making = (
        r"""(?:write_phantoms\("|> |--(?:output|saliency|parts|show-augmentation) )([\w./-]+)"""
    )
    there: set[str] = set()
    for line in "".join(one.code for one in blocks("sh") if one.page == pair[0].name).splitlines():
        made = set(re.findall(making, line))
        for word in shlex.split(line, comments=True) if "pneumoscope" in line else []:
            place = word.rpartition("=")[2].removeprefix("@")
            if re.fullmatch(r"[\w-]+(/[\w.-]+)+|[\w-]+\.(yaml|json|png|csv)", place):
                roots = {place, *map(str, Path(place).parents)}
                assert roots & (there | made) or (ROOT / place).is_file(), f"{place} is not there"
        there |= made


def test_version_and_licence_are_said_alike() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf8"))
    needed = {"cff-version", "message", "title", "authors"}
    assert needed <= citation.keys()
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["license-files"]
    weights = {one.name for one in (ROOT / "src/pneumoscope/models/weights_data").iterdir()}
    for page in (ROOT / "NOTICE", DOCS / "reference" / "licences.md"):
        assert {name for name in weights if name not in page.read_text("utf8")} == set()
    assert {"LICENSE", "NOTICE"} <= set(shipped)
    changelog = (ROOT / "CHANGELOG.md").read_text("utf8")
    assert re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.M)[0] == __version__


def test_what_pages_say_of_the_champion_its_card_says() -> None:
    card = open_bundle(packaged_champion()).files[CARD].decode()
    figure = r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)"
    for page in (*READMES, DOCS / "champion.md", ROOT / "recipes" / "champion" / "README.md"):
        text = " ".join(page.read_text("utf8").split())
        told = set(re.findall(figure, re.sub(r"(?<=\d),(?=\d)", ".", text).replace(" à ", " to ")))
        assert len(told) >= 2, page
        assert {one for one in told if one not in card} == set(), page
        assert re.search(r"verdict (is|est) (red|rouge)", text), page
    assert "**Red.**" in card


def test_files_of_a_run_are_explained(trained: TrainResult) -> None:
    page = (DOCS / "reference" / "run-folder.md").read_text("utf8")
    bundle = (DOCS / "reference" / "bundle.md").read_text("utf8")
    assert {
        name for one in trained.output.iterdir() if f"`{(name := one.name)}" not in page
    } == set()
    assert {
        name for one in trained.bundle.iterdir() if f"`{(name := one.name)}`" not in bundle
    } == set()


def test_what_a_page_would_load_from_elsewhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text('<a href="https://a.org">x</a><link rel="canonical" href="https://a.org">')
    assert not list(foreign(tmp_path))
    page.write_text('<script src="//b.org/x.js"></script><style>@import "https://c.org/f";</style>')
    (tmp_path / "a.css").write_text("body{background:url(https://d.org/p.png)}")
    assert [word.split("//")[1][:5] for word in foreign(tmp_path)] == ["b.org", "c.org", "d.org"]
