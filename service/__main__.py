"""`python -m service` is `thumbnails`."""

import logging
import os
import sys
from typing import Final

from service.cli.main import main
from service.exits import EXIT_FAILED, EXIT_OK

ROLES: Final = (["worker"], ["persist"], ["retry"], ["ingest"])


def run() -> None:
    """Run the command line.

    A role has closed all it had when it returns, and leaves without Python's own end: a thread of librdkafka that asks for
    a token just then would crash the process, and a supervisor would take that for a failure.
    """
    try:
        main()
    except SystemExit as exc:
        if sys.argv[1:2] not in ROLES:
            raise
        logging.shutdown()
        os._exit(exc.code if isinstance(exc.code, int) else EXIT_OK if exc.code is None else EXIT_FAILED)


if __name__ == "__main__":
    run()
