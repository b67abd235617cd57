"""The tokens that callers of `thumbnails ingest http` show."""

import base64
import binascii
import hmac
import os
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MIN_TOKEN_CHARS: Final = 16


class TokensError(Exception):
    """Nobody could be told from anybody else; the message says why in one sentence."""


class Tokens:
    """Several tokens are good at once, so that one can be replaced: add the new one, change the callers, take the old one away.

    A file is read again when it changes, one token a line; while it cannot be used, the tokens that it had stay.
    """

    def __init__(self, given: str | None, file: Path | None) -> None:
        """Take tokens with commas between them. Raises TokensError when there is none, or one is too short."""
        self._given: Final = _checked((given or "").split(","), "INGEST_HTTP_TOKENS")
        self._file: Final = file
        self._seen = _stamp(file)
        self._of_file = () if file is None else _read(file)
        if not self._given and not self._of_file:
            raise TokensError("There is no token: set INGEST_HTTP_TOKENS or INGEST_HTTP_TOKENS_FILE.")

    def know(self, authorization: str | None) -> bool:
        """Return whether a caller has shown one of them: as `Bearer TOKEN`, or as the password of `Basic`.

        It takes as long for every wrong one of a length.
        """
        shown = _shown(authorization or "").encode("utf-8", "replace")
        self._read_again()
        found = [hmac.compare_digest(shown, token) for token in (*self._given, *self._of_file)]
        return any(found)

    def _read_again(self) -> None:
        if self._file is None or (stamp := _stamp(self._file)) == self._seen:
            return
        self._seen = stamp
        try:
            self._of_file = _read(self._file)
        except TokensError as exc:
            log.warning("tokens_unreadable", reason=str(exc))


def _shown(authorization: str) -> str:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _stamp(file: Path | None) -> tuple[int, ...]:
    """Return what changes when the file does; a mounted secret is another file then."""
    if file is None:
        return ()
    try:
        found = os.stat(file)  # noqa: PTH116 - Path.stat is the same
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(file: Path) -> tuple[bytes, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise TokensError(f"{file} cannot be read: {reason}.") from exc
    found = _checked([line for line in lines if not line.startswith("#")], str(file))
    if not found:
        raise TokensError(f"{file} has no token.")
    return found


def _checked(given: list[str], where: str) -> tuple[bytes, ...]:
    tokens = [token.strip() for token in given if token.strip()]
    if any(len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable() for token in tokens):
        raise TokensError(
            f"A token of {where} has fewer than {MIN_TOKEN_CHARS} characters, or other than ASCII: `openssl rand -hex 16` makes one."
        )
    return tuple(token.encode() for token in tokens)
