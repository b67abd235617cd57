"""The check that the worker's Kafka client reads each of Kafka's compression codecs."""

from typing import Final

from service.check_result import CheckResult
from streams.worker.faust.codecs import unreadable_codecs

NAME: Final = "Compression codecs of Kafka records"
_OF_PYTHON: Final = frozenset({"gzip"})


def check_codecs() -> CheckResult:
    """Gzip, snappy, lz4 and zstd are read: a batch of a codec that is not would end every worker that meets it."""
    broken = unreadable_codecs()
    if not broken:
        return CheckResult(NAME, None)
    missing = ["a Python with zlib"] if broken.keys() & _OF_PYTHON else []
    missing += ["the package cramjam, in the version of requirements.lock"] if broken.keys() - _OF_PYTHON else []
    reason = next(iter(broken.values()))
    return CheckResult(
        NAME,
        f"aiokafka cannot read {', '.join(broken)} ({reason}), and the first such record would stop the worker:"
        f" install {', and '.join(missing)}.",
    )
