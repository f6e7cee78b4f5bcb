"""Who may ask: bearer tokens, of which only hashes are kept.

A token has 256 random bits, so a plain SHA-256 of it cannot be searched; the slow hashes that
passwords need would only slow every request.

The file has a line per token: name, scope (`predict`, or `admin`, which may also load another
bundle), and the hash. A line removed is a token revoked, from the next reload on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.files import is_there, replacing

Scope = Literal["predict", "admin"]

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
_PREFIX: Final = "pneumoscope_"
_PRIVATE: Final = 0o600
_HEADER: Final = "# name scope hash; written by pneumoscope serve --new-token\n"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token.

    Attributes:
        name: Told in the log and counted by the rate limit.
        scope: What it may do.
        digest: SHA-256 of the token.
    """

    name: str
    scope: Scope
    digest: bytes


def new_token(path: Path, name: str, *, scope: Scope = "predict") -> str:
    """A new token, whose hash is now in the file; it cannot be had again.

    A new file is its owner's alone; one that is there keeps its owner, group and mode.

    Raises:
        InputError: the name is taken or not allowed, or the file is not one of tokens.
        StorageError: the file cannot be written, or not without changing whose it is.
    """
    if not _NAME.fullmatch(name):
        message = f"token name {name!r}; allowed: 1 to 64 letters, digits, '.', '_' and '-'."
        raise InputError(f"{message} Choose another.")
    there = is_there(path)
    if there and any(holder.name == name for holder in read_tokens(path)):
        raise InputError(f"{path}: '{name}' has a token. Choose another name or remove its line.")
    token = _PREFIX + secrets.token_urlsafe(32)
    before = path.read_text(encoding="ascii") if there else _HEADER
    line = f"{name} {scope} sha256:{_digest(token).hex()}\n"
    known = path.stat() if there else None
    mode = stat.S_IMODE(known.st_mode) if known else _PRIVATE
    with replacing(path, mode=mode) as temporary:
        temporary.write_text(before.rstrip("\n") + "\n" + line, encoding="ascii")
        if known:
            _hand_over(temporary, known, path)
    return token


def read_tokens(path: Path) -> tuple[Holder, ...]:
    """Who holds tokens, as the file says.

    Raises:
        InputError: it cannot be read, or a line is none of a token, or a name repeats.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not plain text"
        raise InputError(f"{path}: {reason}. Make tokens with --new-token NAME.") from error
    numbered = enumerate(lines, start=1)
    holders = [_holder(path, number, line) for number, line in numbered if _says(line)]
    if len({holder.name for holder in holders}) != len(holders):
        raise InputError(f"{path}: two tokens have one name. Remove one of the lines.")
    return tuple(holders)


def find_holder(holders: Sequence[Holder], token: str) -> Holder | None:
    """Who holds this token; takes as long whoever it is."""
    digest = _digest(token)
    found = None
    for holder in holders:
        if hmac.compare_digest(holder.digest, digest):
            found = holder
    return found


def _hand_over(temporary: Path, known: os.stat_result, path: Path) -> None:
    """Make what replaces a file belong to whom that belongs: the service has to read it."""
    made = temporary.stat()
    if (made.st_uid, made.st_gid) == (known.st_uid, known.st_gid):
        return
    try:
        os.chown(temporary, known.st_uid, known.st_gid)
    except OSError as error:
        whose = f"{path}: belongs to user {known.st_uid}, group {known.st_gid}, and would not after"
        raise StorageError(f"{whose} this ({error.strerror}). Run this as its owner.") from error


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _holder(path: Path, number: int, line: str) -> Holder:
    words = line.split()
    hashed = _HASH.fullmatch(words[-1])
    sound = len(words) == 3 and hashed and _NAME.fullmatch(words[0])
    if not sound or hashed is None or words[1] not in ("predict", "admin"):
        allowed = "allowed: NAME predict|admin sha256:HASH"
        raise InputError(f"{path}: line {number} is no token; {allowed}. Repair or remove it.")
    return Holder(words[0], cast("Scope", words[1]), bytes.fromhex(hashed[1]))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf8", "surrogateescape")).digest()
