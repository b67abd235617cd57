"""The five faults: how each is made, which alerts must fire, and how a person fixes it by the runbook."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.campaign.chaos.plants import Edit, changed_copy
from tests.campaign.chaos.uploads import GLOBEX
from tests.campaign.drill.installation import INITECH, Installation
from tests.system.stack import run_cli

_RENDER: Final = "def render(image: Image.Image | YuvPicture, spec: ThumbnailSpec, kind: Kind) -> Rendered:\n"
_RAISE: Final = 'raise AttributeError("module PIL.Image has no attribute ANTIALIAS")'
_REST: Final = "\n\n\ndef _as_it_was(image: Image.Image | YuvPicture, spec: ThumbnailSpec, kind: Kind) -> Rendered:\n"
DEAD_RENDER: Final = Edit("processors/output/render.py", _RENDER, f"{_RENDER}    {_RAISE}{_REST}")
"""What an upgrade of a library does: a name is gone, and no picture is rendered."""
BAD_RENDER: Final = Edit(
    "processors/output/render.py",
    _RENDER,
    f"{_RENDER}    if max(image.size) > 128:\n        {_RAISE}\n    return _as_it_was(image, spec, kind){_REST}",
)
"""The same, but not for the little pictures on which a decode slot proves itself at its start."""


class MendError(Exception):
    """A command of the runbook failed."""


@dataclass(frozen=True)
class Fault:
    """`says` are words that `attention` of the status must hold while it lasts: what is wrong, and whose it is.

    `unhurt` are the companies that must get thumbnails meanwhile; `slowed` whether how soon it shows depends on durations of the
    product that were divided.
    """

    name: str
    title: str
    done: str
    restored: str
    alerts: tuple[str, ...]
    says: tuple[str, ...]
    inject: Callable[[Installation], object]
    restore: Callable[[Installation], object]
    tidy: Callable[[Installation], object] = lambda _installation: None
    unhurt: tuple[int, ...] = ()
    slowed: bool = False
    page_says: tuple[str, ...] = ("Live",)


def _deploy(installation: Installation, source: Path) -> None:
    """Roll all workers over to another tree: each is asked to end, and its supervisor starts the new one."""
    for role in installation.cluster.supervisor.of("worker"):
        role.environment["PYTHONPATH"] = str(source)
        role.process.terminate()


def _deploy_with(installation: Installation, edit: Edit, name: str) -> None:
    _deploy(installation, changed_copy([edit], installation.folder / name))


def _roll_back(installation: Installation) -> None:
    _deploy(installation, Path(installation.cluster.environment["PYTHONPATH"]))


def _poison(installation: Installation, *, on: bool) -> None:
    installation.trickle.is_poisoned = on


def _replay(installation: Installation) -> None:
    _thumbnails(installation, "dlq", "replay", "--yes")


def _purge(installation: Installation) -> None:
    """Nobody can fix those files: kept for the record, and deleted from the topic."""
    dead_letters = str(installation.folder / "letters.jsonl")
    _thumbnails(installation, "dlq", "export", dead_letters)
    _thumbnails(installation, "dlq", "purge", "--exported", dead_letters, "--yes")


def _thumbnails(installation: Installation, *arguments: str) -> None:
    done = run_cli(dict(installation.cluster.environment), *arguments)
    if done.returncode:
        raise MendError(f"thumbnails {' '.join(arguments)}: {done.stdout[-500:]} {done.stderr[-1000:]}")


FAULTS: Final = (
    Fault(
        "storage-down",
        "Storage down",
        "Toxiproxy breaks every connection to MinIO, Globex's storage, and refuses new ones.",
        "The proxy lets connections through again. Nothing else is done.",
        ("ThumbnailStorageBreakerOpen",),
        (f"connection {GLOBEX} (minio", f"company {GLOBEX}"),
        lambda installation: installation.cluster.s3_door.cut(),
        lambda installation: installation.cluster.s3_door.restore(),
        unhurt=(1, INITECH),
    ),
    Fault(
        "database-down",
        "Database down",
        "PostgreSQL is stopped.",
        "PostgreSQL is started. Nothing else is done.",
        ("ThumbnailDatabaseDown",),
        ("have lost database", "Bring the server of DATABASE_URL back"),
        lambda installation: installation.cluster.postgres.stop_process(),
        lambda installation: installation.cluster.postgres.start(),
    ),
    Fault(
        "broker-down",
        "Broker down",
        "Apache Kafka is killed with SIGKILL.",
        "Kafka is started on the same data. Nothing else is done; whatever role has ended is restarted by its supervisor.",
        ("ThumbnailKafkaDown",),
        ("No Kafka broker answers",),
        lambda installation: installation.cluster.kafka.kill(),
        lambda installation: installation.cluster.kafka.start(),
        page_says=("Kafka is away since", "as of then"),
    ),
    Fault(
        "bad-deploy",
        "Bad deploy",
        "Both workers are rolled over to a copy of the product in which rendering raises AttributeError for every picture larger than"
        " 128 pixels. Their supervisor restarts them whenever they stop.",
        "The workers are rolled back, and then `thumbnails dlq replay --yes`.",
        ("ThumbnailRoleRestarting", "ThumbnailDeadLetterFlood"),
        ("media.crashed_decoder, of 3 companies", "suggest a bad deploy"),
        lambda installation: _deploy_with(installation, BAD_RENDER, "bad-deploy"),
        _roll_back,
        tidy=_replay,
        slowed=True,
    ),
    Fault(
        "dead-deploy",
        "Deploy that does not start",
        "Both workers are rolled over to a copy of the product in which rendering always raises AttributeError: decode slots try"
        " their decoders before they take a job, and the workers end at once, again and again.",
        "The workers are rolled back. Nothing was taken, and nothing is replayed.",
        ("ThumbnailRoleDown",),
        ("it does not answer: Connection refused", "its last log line says why"),
        lambda installation: _deploy_with(installation, DEAD_RENDER, "dead-deploy"),
        _roll_back,
    ),
    Fault(
        "poison-tenant",
        "Poison tenant",
        "Initech publishes four broken photographs a second among the sound uploads of all.",
        "Initech's producer stops; `thumbnails dlq export`, then `thumbnails dlq purge`, because nobody can repair those files.",
        ("ThumbnailDeadLetterFlood", "ThumbnailDeadLettersGrowing"),
        ("media.corrupt", f"company {INITECH}"),
        lambda installation: _poison(installation, on=True),
        lambda installation: _poison(installation, on=False),
        tidy=_purge,
        unhurt=(1, GLOBEX, INITECH),
    ),
)
