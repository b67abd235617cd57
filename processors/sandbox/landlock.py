"""Landlock: no file, no TCP port, no outside process for this process and its children. Linux 5.13 and later."""

import ctypes
import os
import struct
import sys
from typing import Final

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
"""The same numbers on every architecture."""
_ASK_VERSION: Final = 1

_FILES: Final = 0x1FFF
"""Execute, read, write, list, remove and make, of every kind: what the first version knows."""
_FILES_LATER: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Version, and what it adds: moving between folders, truncating, device ioctl."""
_TCP: Final = 0b11
_OUTSIDERS: Final = 0b11
"""Abstract Unix sockets and signals beyond the own domain."""
_TCP_SINCE: Final = 4
_OUTSIDERS_SINCE: Final = 6


def restrict_self() -> int:
    """Lock the calling thread and its later children; the kernel's Landlock version, 0 where there is none.

    No rule is added, so nothing of what is handled is allowed. NO_NEW_PRIVS must be set. Raises OSError when the kernel
    has Landlock and refuses.
    """
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION)))
    if version < 1:
        return 0
    attributes = _attributes(version)
    ruleset = int(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock refuses")
    try:
        if libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint(0)) != 0:
            raise OSError(ctypes.get_errno(), "Landlock refuses")
    finally:
        os.close(ruleset)
    return version


def _attributes(version: int) -> bytes:
    """Struct landlock_ruleset_attr, as long as this version knows it: a longer one is refused."""
    files = _FILES | sum(right for since, right in _FILES_LATER if version >= since)
    fields = [files]
    if version >= _TCP_SINCE:
        fields.append(_TCP)
    if version >= _OUTSIDERS_SINCE:
        fields.append(_OUTSIDERS)
    return struct.pack(f"={len(fields)}Q", *fields)
