"""Encoders that change how the system schedules their caller."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Give the calling thread its scheduling back at the end.

    SVT-AV1 makes its caller a real-time thread where that is root. Every process that it starts afterwards would be one too,
    and starve brokers and databases beside it.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
