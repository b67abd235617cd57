"""Errors that are expected, each as one sentence with a way out."""

import errno
import sys
from typing import TYPE_CHECKING, Final

from service.exits import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from pydantic import ValidationError

EXPECTED: Final = (
    ("processors.sandbox.confinement", "ConfinementError"),
    ("schemas.database", "DatabaseUrlError"),
    ("schemas.errors", "ThumbnailError"),
    ("schemas.migrations", "MigrationError"),
    ("service.kafka.connection", "KafkaUnreachableError"),
    ("service.kafka.security", "KafkaFilesError"),
    ("service.observability.traces", "TracesError"),
    ("service.publish.files", "UnreadableFileError"),
    ("service.publish.uploads", "PublishError"),
    ("service.reconcile.state", "ReconcileError"),
    ("service.run_file", "RunFileError"),
    ("service.tenants.values", "RowError"),
    ("storage.credentials", "CredentialsKeyError"),
    ("streams.dlq.export", "ExportFileError"),
    ("streams.dlq.sender", "ReplayError"),
    ("streams.kafka.reader", "TopicReadError"),
)
"""Module and class of each error whose message is a sentence with a way out. They are not imported: an image without
decoders and storages has not all of their libraries."""
_OURS: Final = frozenset({"service", "streams", "processors", "storage", "schemas"})


def explain(exc: Exception) -> tuple[str, int] | None:
    """Return what to say of `exc`, and the exit code; None for a bug of ours, which keeps its traceback.

    The classes are looked up here: their modules are loaded only when something failed.
    """
    if isinstance(exc, expected_errors()):
        return str(exc), getattr(exc, "exit_code", EXIT_FAILED)
    if isinstance(exc, _database_errors()):
        from schemas.database_faults import explain_database_fault

        return explain_database_fault(exc), EXIT_FAILED
    if isinstance(exc, _validation_error()):
        return _about_setting(exc), EXIT_USAGE
    if isinstance(exc, OSError):
        return _about_system(exc), EXIT_FAILED
    if isinstance(exc, ModuleNotFoundError) and (exc.name or "").partition(".")[0] not in _OURS:
        return _about_package(exc.name), EXIT_FAILED
    if isinstance(exc, UnicodeError):
        return "An argument, a setting or a name of a file is not UTF-8 text where it has to be.", EXIT_USAGE
    if isinstance(exc, MemoryError):
        return "There is not enough memory for this.", EXIT_FAILED
    return None


def expected_errors() -> tuple[type[Exception], ...]:
    """Those whose messages are sentences with a way out; only a module that is loaded can have raised one."""
    return tuple(getattr(sys.modules[module], name) for module, name in EXPECTED if module in sys.modules)


def _database_errors() -> tuple[type[Exception], ...]:
    """Return what a command may meet at any use of the database: explained, and no traceback."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    return DBAPIError, PoolTimeoutError


def _validation_error() -> "type[ValidationError]":
    from pydantic import ValidationError

    return ValidationError


def _about_setting(exc: "ValidationError") -> str:
    problem = exc.errors(include_url=False)[0]
    name = ".".join(str(part) for part in problem["loc"]).upper()
    # What contradicts itself has no name of its own: the message names both.
    return f"{name}{': ' if name else ''}{problem['msg']}. See docs/configuration.md."


def _about_package(module: str | None) -> str:
    return (
        f"The package of {module} is not installed here. The light image has no decoders and no storages: use the other"
        " one, see docs/containers.md. Elsewhere: pip install --require-hashes -r requirements.lock"
    )


def _about_system(exc: OSError) -> str:
    from service.cli.text_table import printable

    if exc.filename is None and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The output cannot be written: {exc.strerror}."
    names = [printable(str(name)) for name in (exc.filename, exc.filename2) if name is not None]
    return f"{' and '.join(names)}{': ' if names else ''}{exc.strerror or exc}."
