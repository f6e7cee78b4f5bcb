"""Addresses of servers and databases, as they may be shown: without whoever logs in there."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
"""Stands for a value that is not shown."""

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://\S+")
_PLAIN_HOST = re.compile(r"(\[[^\]]*\]|[^\s/?#@:\[]*)(:\d*)?(?=[/?#]|$)")
_DATABASES = ("postgres", "mysql", "mssql")


def shown(address: str) -> str:
    """An address without user and password, and with the values of its query masked.

    Passwords are cut as they are mistyped, too: with a bare `@`, `/` or `?`, which RFC 3986 wants
    encoded and SQLAlchemy partly takes. What has no `://`, and a SQLite file, stays.

    >>> shown("https://ada:p@ss@example.org:5000/mlflow")
    'https://example.org:5000/mlflow'
    >>> shown("postgresql://host/studies?user=ada&password=secret")
    'postgresql://host/studies?user=***&password=***'
    >>> shown("sqlite:////data/a@b/mlflow.db?timeout=5")
    'sqlite:////data/a@b/mlflow.db?timeout=5'
    """
    scheme, separator, rest = address.partition("://")
    if not separator or scheme.startswith("sqlite"):
        return address
    place, mark, query = _without_login(scheme, rest).partition("?")
    values = "&".join(_masked(pair) for pair in query.split("&")) if query else ""
    return f"{scheme}{separator}{place}{mark}{values}"


def shown_in(text: str) -> str:
    """A text in which every address is as `shown` shows it.

    >>> shown_in("no answer from http://ada:secret@host:5000/x today")
    'no answer from http://host:5000/x today'
    """
    return _ADDRESS.sub(lambda found: shown(found[0]), text)


def _without_login(scheme: str, rest: str) -> str:
    """What follows the last `@` of the login; of a server's address, paths may hold one too."""
    if _PLAIN_HOST.match(rest) and not scheme.startswith(_DATABASES):
        return rest
    before, mark, query = rest.partition("?")
    if "@" in before:
        return f"{before.rpartition('@')[2]}{mark}{query}"
    # A `?` of the password itself.
    return rest if _PLAIN_HOST.match(rest) else rest.rpartition("@")[2]


def _masked(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals else MASK
