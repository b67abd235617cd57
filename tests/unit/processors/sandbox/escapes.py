# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH109, PTH115, PTH116, PTH208, PTH211 - the raw calls are the matter here
"""What a decoder that was taken over would try. As a program: tries each in a child of its own, and prints how it went.

    python -m tests.unit.processors.sandbox.escapes caged|threads|open UID

Each outcome is `through`, the name of an errno, the name of a signal, or the name of an exception.
"""

import ctypes
import errno
import importlib
import json
import mmap
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from processors.sandbox import confinement

Attempt = Callable[["Place"], object]

ATTEMPTS: Final[dict[str, Attempt]] = {}
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_IS_X86: Final = platform.machine() == "x86_64"
_CONTENT: Final = "something of the worker's"
_THROUGH: Final = 0
_OTHER: Final = 200
_PTRACE_SEIZE: Final = 0x4206
_CLONE_NEWUSER: Final = 0x10000000


class Place:
    """Something worth reaching: a folder with a file, a listening socket, another process of the same user."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "file"
        self.file.write_text(_CONTENT)
        (self.folder / "late_module.py").write_text("x = 1")
        sys.path.insert(0, str(self.folder))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.folder / "socket"))
        self.unix.listen(100)
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("")  # the kernel finds an abstract name
        self.abstract.listen(100)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.pipe = os.pipe()
        self.victim = subprocess.Popen(["/bin/sleep", "100"], env={"X": _CONTENT})
        self.own_code = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.own_code))

    def close(self) -> None:
        """Leave nothing behind."""
        self.victim.kill()
        self.victim.wait()
        for end in (self.unix, self.abstract, self.tcp):
            end.close()
        for number in self.pipe:
            os.close(number)
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        self.folder.rmdir()


def attempt(name: str) -> Callable[[Attempt], Attempt]:
    """Register an attempt under a name."""

    def register(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        return function

    return register


def call(on_x86: int, on_arm: int, *arguments: object) -> int:
    """A system call by its number. Raises OSError."""
    result = int(_LIBC.syscall(on_x86 if _IS_X86 else on_arm, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def _check(is_through: bool, number: int) -> None:
    if not is_through:
        raise OSError(number, "refused")


def simple(name: str, function: Attempt) -> None:
    """Register a short attempt."""
    ATTEMPTS[name] = function


# Files
simple("open a file", lambda place: os.open(place.file, os.O_RDONLY))
simple("open its own memory", lambda _: os.open("/proc/self/mem", os.O_RDWR))
simple("read the worker's environment", lambda place: os.open(f"/proc/{place.victim.pid}/environ", os.O_RDONLY))
simple("open by openat2", lambda p: call(437, 437, -100, bytes(p.file), (ctypes.c_uint64 * 3)(), ctypes.c_size_t(24)))
simple("list a folder", lambda place: os.listdir(place.folder))
simple("stat", lambda place: os.stat(place.file))
simple("statx", lambda p: call(332, 291, -100, bytes(p.file), 0, 0x7FF, ctypes.create_string_buffer(256)))
simple("stat by an empty path", lambda _: call(262, 79, 0, b"", ctypes.create_string_buffer(256), 0x1000))
simple("access", lambda place: _check(os.access(place.file, os.R_OK), errno.EACCES))
simple("readlink", lambda _: os.readlink("/proc/self/exe"))
simple("create a file", lambda place: os.open(place.folder / "new", os.O_CREAT | os.O_WRONLY))
simple("delete a file", lambda place: os.unlink(place.file))
simple("rename a file", lambda place: os.rename(place.file, place.folder / "renamed"))
simple("link a file", lambda place: os.link(place.file, place.folder / "link"))
simple("make a symbolic link", lambda place: os.symlink("/etc", place.folder / "symlink"))
simple("make a folder", lambda place: os.mkdir(place.folder / "made"))
simple("make a pipe in a folder", lambda place: os.mkfifo(place.folder / "fifo"))
simple("change a file's rights", lambda place: os.chmod(place.file, 0o600))
simple("change a file's owner", lambda place: os.chown(place.file, os.getuid(), -1))
simple("change a file's time", lambda place: os.utime(place.file))
simple("truncate a file", lambda place: os.truncate(place.file, 0))
simple("change the folder", lambda place: os.chdir(place.folder))
simple("ask for the folder", lambda _: os.getcwd())
simple("make a file in memory", lambda _: os.memfd_create("x"))
simple("import late", lambda _: importlib.import_module("late_module"))
simple("watch files", lambda _: call(294, 26, 0))


# Network
simple("connect by TCP", lambda place: socket.socket().connect((b"127.0.0.1", place.tcp.getsockname()[1])))
simple("listen on TCP", lambda _: socket.socket().bind((b"127.0.0.1", 0)))
simple("send by UDP", lambda _: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (b"127.0.0.1", 9)))
simple("connect to a Unix socket", lambda place: socket.socket(socket.AF_UNIX).connect(place.unix.getsockname()))
simple("connect to an abstract socket", lambda p: socket.socket(socket.AF_UNIX).connect(p.abstract.getsockname()))
simple("ask the kernel by netlink", lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
simple("make a pair of sockets", lambda _: socket.socketpair())
simple("accept on a socket that is open", lambda place: call(43, 202, place.pipe[0], None, None))
simple("send on a socket that is open", lambda place: place.abstract.sendmsg([b"x"]))


# Processes
@attempt("fork")
def _fork(_place: Place) -> None:
    if os.fork() == 0:
        os._exit(0)


@attempt("start a thread")
def _start_thread(_place: Place) -> None:
    threading.Thread(target=lambda: None).start()


simple("clone3", lambda _: call(435, 435, None, 0))
simple("execute a program", lambda _: os.execv("/bin/true", ["true"]))  # noqa: S606 - the attempt
simple("spawn a program", lambda _: os.posix_spawn("/bin/true", ["true"], {}))
simple("signal the worker", lambda place: os.kill(place.victim.pid, 0))
simple("signal a thread of the worker", lambda place: call(234, 131, place.victim.pid, place.victim.pid, 0))
simple("signal by tkill", lambda place: call(200, 130, place.victim.pid, 0))
simple("get a handle of the worker", lambda place: os.pidfd_open(place.victim.pid))
simple("trace the worker", lambda place: call(101, 117, _PTRACE_SEIZE, place.victim.pid, None, None))
simple("read the worker's memory", lambda place: call(310, 270, place.victim.pid, None, 0, None, 0, 0))
simple("write the worker's memory", lambda place: call(311, 271, place.victim.pid, None, 0, None, 0, 0))
simple("slow the worker down", lambda place: os.setpriority(os.PRIO_PROCESS, place.victim.pid, 19))
simple("move the worker", lambda place: os.sched_setaffinity(place.victim.pid, os.sched_getaffinity(0)))
simple("limit the worker", lambda p: resource.prlimit(p.victim.pid, resource.RLIMIT_CORE, (0, 0)))
simple("change its user", lambda _: os.setuid(os.getuid()))
simple("change its limits", lambda _: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
simple("become dumpable", lambda _: _check(_LIBC.prctl(4, 1, 0, 0, 0) == 0, ctypes.get_errno()))
simple("leave its session", lambda _: os.getsid(0))
simple("make its own filter", lambda _: call(317, 277, 2, 0, ctypes.create_string_buffer(1)))
simple("make its own Landlock", lambda _: call(444, 444, None, 0, 1))
simple("new namespaces", lambda _: call(272, 97, _CLONE_NEWUSER))
simple("enter a namespace", lambda place: call(308, 268, place.pipe[0], 0))
simple("mount", lambda _: call(165, 40, b"none", b"/nowhere", b"tmpfs", 0, None))
simple("change how it executes", lambda _: call(135, 92, 0x0400000))


# Memory and the kernel
_EXECUTABLE: Final = mmap.PROT_READ | mmap.PROT_EXEC
simple("map code", lambda _: mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE, prot=_EXECUTABLE))
simple("turn memory into code", lambda p: call(10, 226, ctypes.c_void_p(p.address), ctypes.c_size_t(mmap.PAGESIZE), 5))
simple(
    "turn memory into code by a key", lambda p: call(329, 288, ctypes.c_void_p(p.address), ctypes.c_size_t(4096), 5, -1)
)
simple("map shared memory", lambda _: mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_SHARED))
simple("make a shared segment", lambda _: call(29, 194, 0, ctypes.c_size_t(4096), 0o600))
simple("io_uring", lambda _: call(425, 425, 1, None))
simple("bpf", lambda _: call(321, 280, 0, None, 0))
simple("userfaultfd", lambda _: call(323, 282, 0xFFFF))
simple("count events", lambda _: call(298, 241, None, 0, -1, -1, 0))
simple("ask for keys", lambda _: call(250, 219, 0, -3, 0))
simple("add a key", lambda _: call(248, 217, None, None, None, 0, 0))
simple("copy a file descriptor", lambda place: os.dup(place.pipe[0]))
simple("make a pipe", lambda _: os.pipe())
simple("poll", lambda _: select.select([], [], [], 0))
simple("ioctl", lambda place: call(16, 29, place.pipe[0], 0x541B, ctypes.create_string_buffer(8)))
if _IS_X86:
    simple("open by an x32 number", lambda place: call(0x40000002, 0, bytes(place.file), 0))


def try_one(function: Attempt, place: Place, mode: str) -> str:
    """How an attempt ends, in a child of its own."""
    pid = os.fork()
    if pid == 0:
        status = _OTHER
        try:
            if mode != "open":
                confinement.give_up_privileges()
                confinement.lock_slot()
                confinement.limit_job(512)
                confinement.lock_job(allow_threads=mode == "threads")
            function(place)
            status = _THROUGH
        except OSError as exc:
            status = exc.errno or _OTHER
        except ImportError:
            status = errno.ENOENT
        except RuntimeError:  # "can't start new thread"
            status = errno.EAGAIN
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.waitstatus_to_exitcode(status)
    return "through" if code == _THROUGH else errno.errorcode.get(code, f"exit {code}")


def main(mode: str, uid: int) -> None:
    """Print every outcome as JSON."""
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        _LIBC.prctl(4, 1, 0, 0, 0)  # a change of user makes a process one that may not open its own memory
    outcomes = {}
    for name, function in ATTEMPTS.items():
        place = Place()
        try:
            outcomes[name] = try_one(function, place, mode)
        finally:
            place.close()
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
