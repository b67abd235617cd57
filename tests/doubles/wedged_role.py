"""A role that proves its dependencies, joins its group, and then does nothing more. Run: … -m tests.doubles.wedged_role ROLE."""

import asyncio
import sys
import threading
from typing import Any

from service.roles import run as roles
from service.roles import worker as worker_role
from service.roles.health import liveness
from service.settings import Settings
from streams.persist import role as persistence
from streams.worker import role as worker

LOOP_BOUND_S = 4.0


async def take_nothing(*_arguments: Any) -> None:
    await asyncio.Event().wait()


def hang(*_arguments: Any) -> None:
    threading.Event().wait()


def main(role: str) -> int:
    if role == "worker":
        setattr(worker.Worker, "consume", take_nothing)  # noqa: B010 - mypy would not have it assigned
        return worker_role.run_worker_role(Settings())
    setattr(liveness, "LOOP_BOUND_S", LOOP_BOUND_S)  # noqa: B010 - likewise, for it is final
    setattr(persistence, "read_records", hang)  # noqa: B010 - likewise
    return roles.run_persist_role(Settings())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
