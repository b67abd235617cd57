"""Settings from the environment: one frozen class a component, read once at start and printed without secrets."""

from typing import Any

from pydantic_settings import BaseSettings

from service.settings.decode import DecodeSettings
from service.settings.kafka import KafkaSettings
from service.settings.roles import (
    CleanupSettings,
    DeadLetterSettings,
    HttpSettings,
    IngestHttpSettings,
    IngestSettings,
    LogSettings,
    PersistSettings,
    RetrySettings,
    TraceSettings,
    WebSettings,
    WorkerSettings,
)
from service.settings.storage import ConnectionSettings, DatabaseSettings, StorageSettings, redact_url

__all__ = [
    "CleanupSettings",
    "ConnectionSettings",
    "DatabaseSettings",
    "DeadLetterSettings",
    "DecodeSettings",
    "HttpSettings",
    "IngestHttpSettings",
    "IngestSettings",
    "KafkaSettings",
    "LogSettings",
    "PersistSettings",
    "RetrySettings",
    "Settings",
    "StorageSettings",
    "TraceSettings",
    "WebSettings",
    "WorkerSettings",
    "redact_url",
]


class Settings:
    """All settings of one process."""

    def __init__(self) -> None:
        self.kafka = KafkaSettings()
        self.worker = WorkerSettings()
        self.decode = DecodeSettings()
        self.retry = RetrySettings()
        self.dead_letters = DeadLetterSettings()
        self.persist = PersistSettings()
        self.cleanup = CleanupSettings()
        self.ingest = IngestSettings()
        self.ingest_http = IngestHttpSettings()
        self.storage = StorageSettings()
        self.connections = ConnectionSettings()
        self.database = DatabaseSettings()
        self.http = HttpSettings()
        self.web = WebSettings()
        self.log = LogSettings()
        self.traces = TraceSettings()

    def components(self) -> tuple[BaseSettings, ...]:
        """Return every component's settings, in the order of the documentation."""
        return (
            self.kafka,
            self.worker,
            self.decode,
            self.retry,
            self.dead_letters,
            self.persist,
            self.cleanup,
            self.ingest,
            self.ingest_http,
            self.storage,
            self.connections,
            self.database,
            self.http,
            self.web,
            self.log,
            self.traces,
        )

    @staticmethod
    def classes() -> tuple[type[BaseSettings], ...]:
        """Return the class of every component."""
        return (
            KafkaSettings,
            WorkerSettings,
            DecodeSettings,
            RetrySettings,
            DeadLetterSettings,
            PersistSettings,
            CleanupSettings,
            IngestSettings,
            IngestHttpSettings,
            StorageSettings,
            ConnectionSettings,
            DatabaseSettings,
            HttpSettings,
            WebSettings,
            LogSettings,
            TraceSettings,
        )

    def redacted(self) -> dict[str, Any]:
        """Return every setting by its environment name, passwords in URLs replaced."""
        values = {
            name.upper(): value for part in self.components() for name, value in part.model_dump(mode="json").items()
        }
        values["DATABASE_URL"] = redact_url(self.database.database_url)
        return values
