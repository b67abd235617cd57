"""The faults: how each is made, which alerts must fire, and how its cause is removed. What remains, the page says."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tests.campaign.chaos.plants import Edit, changed_copy
from tests.campaign.chaos.uploads import GLOBEX
from tests.campaign.drill.installation import INITECH, Installation

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


LOOK_S: Final = 30.0
_BALLAST: Final = "ballast"
_BEFORE: Final[dict[int, str]] = {}
"""Credentials before they were broken, by connection."""


@dataclass(frozen=True)
class Fault:
    """`says` are words that `attention` of the status must hold while it lasts: what is wrong, and whose it is.

    `look_after_s` is when somebody looks where no alert is waited for. `unhurt` are the companies that must get thumbnails
    meanwhile; `slowed` whether how soon it shows depends on durations of the product that were divided.
    """

    name: str
    title: str
    done: str
    restored: str
    alerts: tuple[str, ...]
    says: tuple[str, ...]
    inject: Callable[[Installation], object]
    restore: Callable[[Installation], object]
    look_after_s: float = 0.0
    unhurt: tuple[int, ...] = ()
    slowed: bool = False
    page_says: tuple[str, ...] | None = None
    """What the page must say, where it is not as the status does."""


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


def _break_connection(installation: Installation) -> None:
    """Leave a bucket's name that no bucket can have, and nothing else, as after a slip of somebody's hand."""
    engine = installation.cluster.platform.engine
    with engine.begin() as connection:
        query = sa.text("SELECT credentials FROM storage_connections WHERE id = :id")
        found = connection.scalar(query, {"id": GLOBEX})
        _BEFORE[GLOBEX] = found if isinstance(found, str) else json.dumps(found)
    _set_credentials(installation, json.dumps({"bucket": "b"}))


def _repair_connection(installation: Installation) -> None:
    _set_credentials(installation, _BEFORE.pop(GLOBEX))


def _set_credentials(installation: Installation, credentials: str) -> None:
    with installation.cluster.platform.engine.begin() as connection:
        statement = sa.text("UPDATE storage_connections SET credentials = :credentials WHERE id = :id")
        connection.execute(statement, {"credentials": credentials, "id": GLOBEX})


def _fill_disk(installation: Installation) -> None:
    with (installation.small_disk / _BALLAST).open("wb", buffering=0) as file:
        for block in (bytes(1 << 20), bytes(1 << 12)):
            with suppress(OSError):  # no space left on the device: that is what is wanted
                while file.write(block):
                    pass


def _free_disk(installation: Installation) -> None:
    (installation.small_disk / _BALLAST).unlink()


def _publish_early(installation: Installation) -> None:
    installation.trickle.is_early = True


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
        page_says=("Kafka is away since", "as of then", "No Kafka broker answers"),
    ),
    Fault(
        "broken-connection",
        "Broken connection",
        "Somebody writes other credentials for Globex's connection, with a bucket's name that no bucket can have.",
        "The credentials are written as they were.",
        (),
        (f"storage connection {GLOBEX} (minio) cannot be used",),
        _break_connection,
        _repair_connection,
        look_after_s=LOOK_S,
        unhurt=(1, INITECH),
    ),
    Fault(
        "full-storage",
        "Full storage",
        "The file system on which Initech keeps its thumbnails, 64 MiB, is filled to the last block.",
        "Somebody makes room.",
        (),
        ("storage.full", f"company {INITECH}"),
        _fill_disk,
        _free_disk,
        look_after_s=LOOK_S,
        unhurt=(1, GLOBEX),
    ),
    Fault(
        "retry-storm",
        "Retry storm",
        "Initech publishes four events a second whose files are not there yet, among the sound uploads of all.",
        "Initech's producer stores the files, and from now on before it publishes.",
        (),
        ("wait for a retry", "source.missing", f"company {INITECH}"),
        _publish_early,
        lambda installation: installation.trickle.deliver(),
        look_after_s=LOOK_S,
        unhurt=(1, GLOBEX, INITECH),
    ),
    Fault(
        "bad-deploy",
        "Bad deploy",
        "Both workers are rolled over to a copy of the product in which rendering raises AttributeError for every picture larger than"
        " 128 pixels. Their supervisor restarts them whenever they stop.",
        "The workers are rolled back.",
        # Not the flood: how many dead letters a second there are depends on how soon a worker is up again.
        ("ThumbnailRoleRestarting", "ThumbnailDeadLettersGrowing"),
        ("media.crashed_decoder, of 3 companies", "suggest a bad deploy"),
        lambda installation: _deploy_with(installation, BAD_RENDER, "bad-deploy"),
        _roll_back,
        slowed=True,
        page_says=("media.crashed_decoder", "of 3 companies", "suggest a bad deploy"),
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
        "Initech's producer stops.",
        ("ThumbnailDeadLetterFlood", "ThumbnailDeadLettersGrowing"),
        ("media.corrupt", f"company {INITECH}"),
        lambda installation: _poison(installation, on=True),
        lambda installation: _poison(installation, on=False),
        unhurt=(1, GLOBEX, INITECH),
    ),
)
