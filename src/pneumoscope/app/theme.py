"""Colours and letters: one accent on quiet greys, light and dark, from the machine's own fonts."""

from __future__ import annotations

from typing import Literal

Theme = Literal["light", "dark"]

FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, system-ui, sans-serif"
CODE = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "page": "#fbfcfd", "raised": "#ffffff", "soft": "#f0f4f6", "ink": "#17212b",
        "muted": "#55616d", "rule": "#dbe2e7", "accent": "#0b6a9f", "on-accent": "#ffffff",
        "green": "#0a6b4b", "green-soft": "#e2f3ec", "amber": "#7a4b00", "amber-soft": "#fcf0d6",
        "red": "#a02c00", "red-soft": "#fce6dc", "track": "#e3e9ed",
    },
    "dark": {
        "page": "#0f151a", "raised": "#151d24", "soft": "#1b242c", "ink": "#e7ecf0",
        "muted": "#a3afba", "rule": "#2a353f", "accent": "#66b7e6", "on-accent": "#0f151a",
        "green": "#7fd6b4", "green-soft": "#12332a", "amber": "#f2c265", "amber-soft": "#3a2c0c",
        "red": "#ff9d73", "red-soft": "#42200f", "track": "#2c3741",
    },
}  # fmt: skip
"""The same names and, but for a calmer page, the same hues as the report's style sheet."""


def variables(theme: Theme) -> str:
    """The colours as CSS custom properties."""
    return "".join(f"--{name}:{value};" for name, value in COLOURS[theme].items())


def theme_options() -> dict[str, object]:
    """Streamlit's theme options for both themes."""
    shared: dict[str, object] = {
        "theme.font": FONT, "theme.headingFont": FONT, "theme.codeFont": CODE,
        "theme.baseFontSize": 16, "theme.baseRadius": "6px", "theme.buttonRadius": "6px",
        "theme.showWidgetBorder": True,
    }  # fmt: skip
    for theme, colours in COLOURS.items():
        shared |= {
            f"theme.{theme}.primaryColor": colours["accent"],
            f"theme.{theme}.backgroundColor": colours["page"],
            f"theme.{theme}.secondaryBackgroundColor": colours["soft"],
            f"theme.{theme}.textColor": colours["ink"],
            f"theme.{theme}.linkColor": colours["accent"],
            f"theme.{theme}.borderColor": colours["rule"],
        }
    return shared
