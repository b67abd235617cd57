"""Publishes uploads one by one, so that a failure leaves no row without its event, and waits for their outcomes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from schemas.cloudevents import read_event
from schemas.errors import ThumbnailError
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.producing import record_of
from service.kafka.clients import make_producer
from service.kafka.connection import connect
from service.publish.files import check_files, shown
from service.publish.uploads import PublishError, Uploader, publish_records, publish_uploads
from service.roles.build_storage import build_tenants
from service.settings import KafkaSettings, Settings
from service.tenants.company_rows import require_company
from service.tenants.explained import explained
from service.tenants.references import company_id_of
from service.tenants.values import RowError
from streams.kafka.ports import KafkaProducer, TopicPartition
from streams.rows.queries import table_of
from streams.tracing import Tracing

POLL_S: Final = 0.2


@dataclass(frozen=True)
class Publisher:
    """Publishes as a platform would."""

    settings: Settings
    engine: sa.Engine
    tracing: Tracing
    _topic: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_topic", self.settings.kafka.topics.uploads)

    def publish_files(self, company: int | str, paths: Sequence[Path]) -> Iterator[tuple[Path, MediaUploaded]]:
        """Store each file, make its row and send its event, before the next; yield it when the broker has it.

        `company` is an id, a slug or a name.

        Raises UnreadableFileError, RowError and KafkaUnreachableError before anything is written, PublishError later:
        it says which files were published and which were not.
        """
        check_files(paths)
        company_id = company_id_of(self.engine, str(company))
        producer = self._producer(company_id)
        uploader = Uploader(self.engine, build_tenants(self.settings, self.engine))
        for number, path in enumerate(paths):
            try:
                upload = uploader.upload(company_id, path)
                self._send(producer, uploader, upload)
            except (ThumbnailError, PublishError, RowError, OSError) as exc:
                raise PublishError(_report(exc, paths, number)) from exc
            yield path, upload

    def publish_event(self, value: bytes) -> MediaUploaded:
        """Send one whole event as it is. Raises ThumbnailError for what is no event, RowError and PublishError."""
        upload = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, ())
        record = record_of(upload)
        as_given = (record.key, value, record.headers)
        publish_records(self._producer(upload.company_id), self._topic, [as_given], self.tracing)
        return upload

    def _producer(self, company_id: int) -> KafkaProducer:
        """Return a producer when all that an upload needs is there."""
        require_company(self.engine, company_id)
        upload_partitions(self.settings.kafka)
        return make_producer(self.settings.kafka)

    def _send(self, producer: KafkaProducer, uploader: Uploader, upload: MediaUploaded) -> None:
        try:
            publish_uploads(producer, [upload], topic=self._topic, tracing=self.tracing)
        except BaseException:
            # An event that arrives all the same ends as a dead letter, which says more than a row without an outcome.
            uploader.withdraw(upload)
            raise


def upload_partitions(settings: KafkaSettings) -> list[TopicPartition]:
    """Return the partitions of media.uploaded. Raises KafkaUnreachableError and PublishError.

    Call it before anything is sent: a producer would try for long, and say nothing of a wrong password.
    """
    topic = settings.topics.uploads
    _, cluster = connect(settings)
    if topic not in cluster.topics:
        raise PublishError(f"The topic {topic} does not exist: run `thumbnails topics create`.")
    return [(topic, number) for number in sorted(cluster.topics[topic].partitions)]


def _report(exc: Exception, paths: Sequence[Path], failed: int) -> str:
    reason = f"{exc.filename}: {exc.strerror}" if isinstance(exc, OSError) else str(exc).rstrip(".")
    done, left = ([shown(path) for path in part] for part in (paths[:failed], paths[failed:]))
    return f"{reason}. Published: {', '.join(done) or 'none'}. Not published: {', '.join(left)}."


def outcome_of(engine: sa.Engine, upload: MediaUploaded, deadline: float) -> tuple[str, str] | None:
    """Return what the upload's row says: a status, and the thumbnail's URL or the error; None where nothing until then.

    `deadline` is a time of time.monotonic(). Raises RowError.
    """
    columns = table_of(upload.media.kind).c
    query = sa.select(columns.thumbnail_status, columns.thumbnail_url, columns.thumbnail_error).where(
        columns.id == upload.media.row_id, columns.thumbnail_event_id == upload.event_id
    )
    while True:
        with explained(), engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is not None and row.thumbnail_status is not None:
            said = row.thumbnail_url if row.thumbnail_status == "ready" else row.thumbnail_error
            return row.thumbnail_status, said or ""
        if time.monotonic() >= deadline:
            return None
        time.sleep(POLL_S)
