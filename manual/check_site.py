"""Fails where a page of the built manual would load something from another host.

`python manual/check_site.py`, which `make docs` runs. Links that a reader may follow are not
loaded, and are left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

SITE = Path(__file__).parents[1] / "site"
_ELSEWHERE = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)
_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
_FOLLOWED = {"a", "area", "base"}
_TOLD = {"canonical", "next", "prev", "license"}
"""What a `link` may name without the browser loading it."""


class _Page(HTMLParser):
    """Gathers what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in _FOLLOWED or (tag == "link" and set(said.get("rel", "").split()) <= _TOLD):
            return
        places = [said.get(name, "") for name in ("src", "href", "data", "poster", "action")]
        places += said.get("srcset", "").split(",") + _STYLE.findall(said.get("style", ""))
        self.loaded += [place.strip() for place in places if _ELSEWHERE.match(place)]


def foreign(site: Path) -> Iterator[str]:
    """What each page and style sheet would load from elsewhere, in words."""
    for file in sorted(site.rglob("*.html")):
        text = file.read_text(encoding="utf8")
        page = _Page()
        page.feed(text)
        for place in [*page.loaded, *_STYLE.findall(text)]:
            yield f"{file.relative_to(site)}: loads {place}"
    for file in sorted(site.rglob("*.css")):
        for place in _STYLE.findall(file.read_text(encoding="utf8")):
            yield f"{file.relative_to(site)}: loads {place}"


def main() -> None:
    """Check the site."""
    if not (SITE / "index.html").is_file():
        sys.exit(f"{SITE}: holds no site. Run `make docs`.")
    if found := list(foreign(SITE)):
        sys.exit("\n".join(found))
    print(SITE / "index.html")


if __name__ == "__main__":
    main()
