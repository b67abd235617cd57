"""What programs that break a whole installation share: a folder of their own, a bound in time, and an orderly end."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from service.demo.broker import NoKafkaError
from service.demo.processes import owned_folder
from tests.campaign.chaos.layout import NoClusterError
from tests.campaign.chaos.plants import PlantError
from tests.servers.go_tool import NoToolError
from tests.servers.kafka.apache import fetch_jars
from tests.servers.pgbouncer import NoPgBouncerError
from tests.servers.postgres import NoPostgresError
from tests.servers.s3.minio import MINIO
from tests.servers.s3.server import NoS3Error
from tests.servers.toxiproxy import TOXIPROXY, NoToxiproxyError

EXIT_FOUND: Final = 1
EXIT_NOT_RUN: Final = 2


class StoppedError(Exception):
    """The program was asked to end, or ran for too long."""


NOT_RUN: Final = (
    *(StoppedError, NoKafkaError, NoPostgresError, NoPgBouncerError, NoS3Error, NoToxiproxyError, NoToolError),
    *(NoClusterError, PlantError),
)
"""What keeps such a program from its end without being a finding."""


def build_servers(say: Callable[[str], None]) -> None:
    """Fetch and build what is made once and then kept, which takes minutes on a slow machine; `say` gets a line for each.

    To be called before `a_bounded_run`, whose alarm is for the run alone: each build has a limit of its own.
    From the main thread. Raises NoKafkaError and NoToolError.
    """
    fetch_jars()
    for tool in (MINIO, TOXIPROXY):
        tool.get(say)


@contextmanager
def a_bounded_run(prefix: str, most_s: float, *, keep: bool, say: Callable[[str], None]) -> Iterator[Path]:
    """A folder that is removed afterwards, or kept. From the main thread; SIGTERM, Ctrl-C and `most_s` raise StoppedError inside."""
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
        signal.signal(number, _stop)
    signal.setitimer(signal.ITIMER_REAL, most_s)
    folder = owned_folder(prefix)
    try:
        yield folder
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if keep:
            # By another name: whoever makes a folder of this prefix removes those whose owners have ended.
            say(f"Logs are kept in {folder.rename(folder.with_name(f'kept-{folder.name}'))}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleaning up
    raise StoppedError(f"{signal.Signals(number).name} came")
