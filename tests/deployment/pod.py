"""Runs a command as a pod's container runs it: `python -m tests.deployment.pod --writable DIR… -- COMMAND…`.

No capability, no new privileges, the container runtime's default system calls, and nothing writable but what is named:
what the manifests in deploy/kubernetes promise, without a cluster. A folder that is not writable is refused with EROFS in a
pod and with EACCES by Landlock here; to a program that writes both are the same.
"""

import argparse
import ctypes
import ctypes.util
import json
import os
from pathlib import Path
from typing import Any, Final

PROFILE: Final = Path(__file__).parent / "containerd-2.4-seccomp.json"
"""What RuntimeDefault is for a container without capabilities, as containerd 2.4.2 makes it (x86-64, kernel 4.8 or later)."""

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAPBSET_DROP: Final = 24
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_COMPARISONS: Final = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_NO_SUCH_CALL: Final = -1

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_PATH_BENEATH: Final = 1
_WRITES: Final = 0x1FF2
"""Writing to files, and removing and making entries of every kind: Landlock's first version."""


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno() or -result, f"{what} failed")
    return result


def give_up_privileges() -> None:
    """No capability is left after the next exec, and none comes back."""
    if os.geteuid() == 0:
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        for capability in range(last + 1):
            _checked(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "dropping a capability")
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def make_read_only(writable: list[Path]) -> None:
    """Nothing can be written or made but below these folders, and in /dev, by this process and its children."""
    handled = ctypes.c_uint64(_WRITES)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(8), 0), "Landlock")
    for folder in [*writable, Path("/dev")]:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = _PathBeneath(_WRITES, opened)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0), f"a rule for {folder}")
        os.close(opened)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def load_profile(profile: dict[str, Any], without: frozenset[str] = frozenset()) -> None:
    """Load an OCI runtime's seccomp profile into this process by libseccomp, as runc does."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    context = library.seccomp_init(_ERRNO | 1)
    for rule in profile["syscalls"]:
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule.get("errnoRet", 1)
        comparisons = [
            _Comparison(arg["index"], _COMPARISONS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
            for arg in rule.get("args", ())
        ]
        array = (_Comparison * len(comparisons))(*comparisons)
        for name in set(rule["names"]) - without:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number != _NO_SUCH_CALL and action != _ERRNO | 1:  # refusing with EPERM is the default
                add = library.seccomp_rule_add_array
                _checked(add(ctypes.c_void_p(context), action, number, len(comparisons), array), name)
    _checked(library.seccomp_load(context), "loading the profile")


def main() -> None:
    """Become the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writable", type=Path, nargs="*", default=[])
    parser.add_argument("--without", nargs="*", default=[], help="system calls that the profile shall not allow")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    give_up_privileges()
    make_read_only(options.writable)
    load_profile(json.loads(PROFILE.read_text()), frozenset(options.without))
    os.execvp(options.command[0], options.command)  # noqa: S606 - a test's own command


if __name__ == "__main__":
    main()
