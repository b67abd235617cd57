"""How the roles work: the worker, retries, dead letters, the web page, and what each shows of itself."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from schemas.topics import MAX_REPLACED_KEEP_S, RETRY_DELAYS_S, THUMBNAIL_RETRIES
from service.settings.component import Component
from streams.failures.retry_limits import parse_limits


class WorkerSettings(Component):
    """How the worker takes and works on events."""

    worker_group: str = Field("thumbnails", description="Consumer group; the roles add -persist and -retry to it.")
    worker_concurrency: int = Field(
        8,
        ge=1,
        le=256,
        description="Events processed in parallel; more than DECODE_SLOTS, so that storage uploads overlap decoding.",
    )
    event_bound_s: float = Field(
        180.0, gt=0, description="Seconds after which an event still in progress makes /health/live fail."
    )
    event_max_clock_skew_s: float = Field(
        300.0,
        ge=1,
        description="How far the time of an upload or a tombstone may lie ahead, in seconds, before it is refused with"
        " event.in_future: ahead of its record's timestamp, or of the worker's clock if that is earlier.",
    )
    shutdown_timeout_s: float = Field(
        25.0,
        gt=0,
        le=600,
        description="Seconds that a role may use to finish work after a stop signal; unfinished records are redelivered."
        " Stay below the supervisor's grace period.",
    )


class RetrySettings(Component):
    """When failed events are tried again."""

    retry_delays_s: Annotated[tuple[float, ...], NoDecode] = Field(
        RETRY_DELAYS_S, description="Delay in seconds of each retry topic: 60,120,240."
    )
    retry_budget_s: float = Field(
        86_400.0,
        gt=0,
        description="Seconds after the first failure, or the last replay, beyond which nothing is retried.",
    )
    retry_limits: str = Field(
        "media.timeout=1,media.crashed_decoder=1",
        description="Retries, and a time budget in seconds, of single error codes: CODE=RETRIES or CODE=RETRIES/BUDGET,…",
    )
    retry_jitter: float = Field(
        0.1, ge=0, le=1, description="Each wait is longer by a random part of it, up to this; never shorter."
    )

    @field_validator("retry_limits")
    @classmethod
    def _know_the_codes(cls, value: str) -> str:
        try:
            parse_limits(value)
        except ValueError as exc:
            raise ValueError(
                f"give CODE=RETRIES or CODE=RETRIES/BUDGET_S, such as source.missing=3/3600 ({exc})"
            ) from exc
        return value

    @field_validator("retry_delays_s", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("retry_delays_s")
    @classmethod
    def _fit_the_topics(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(value) <= len(THUMBNAIL_RETRIES) or any(delay <= 0 for delay in value):
            raise ValueError(f"give 1 to {len(THUMBNAIL_RETRIES)} delays above 0, such as 60,120,240")
        return value


class DeadLetterSettings(Component):
    """When a record is parked instead of replayed, and when so many fail that the worker stops."""

    dlq_max_replays: int = Field(
        3, ge=1, le=100, description="A dead letter that was replayed this often goes to thumbnail.dlq.parked instead."
    )
    dlq_max_consecutive: int = Field(
        500,
        ge=0,
        description="When more records in a row fail for good, of several companies or of the only one, the worker stops"
        " before the next dead letter: docs/dead-letters.md; 0: never.",
    )
    dlq_max_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Likewise when a larger part of DLQ_WINDOW_S fails with codes that suggest a broken deploy; 0: never.",
    )
    dlq_window_s: float = Field(300.0, gt=0, description="Length of the window of DLQ_MAX_RATIO, in seconds.")
    dlq_min_events: int = Field(
        100, ge=1, description="Records in the window below which DLQ_MAX_RATIO does not apply."
    )
    dlq_company_per_minute: int = Field(
        300,
        ge=0,
        description="When one company alone exceeds DLQ_MAX_RATIO, with any code or in the time that its uploads take, each"
        " worker tries at most so many of them a minute, and the others wait: docs/dead-letters.md; 0: all are tried.",
    )


class PersistSettings(Component):
    """When the persist role ends, because the database must be corrected first."""

    persist_max_refused: int = Field(
        20,
        ge=0,
        description="When the database refuses more results in a row, of different media and with the same SQLSTATE, the"
        " role ends before the next dead letter: docs/dead-letters.md; 0: never.",
    )
    persist_fault_limit_s: float = Field(
        600.0,
        ge=0,
        description="Seconds for which the role waits for missing tables, columns, rights or a login that the database"
        " refuses, before it ends. A migration may take so long; 0: it waits for ever.",
    )


class IngestSettings(Component):
    """How notifications of buckets become uploads: `thumbnails ingest s3`."""

    ingest_rules: Path | None = Field(
        None, description="TOML file of the rules that say whose media an object is: docs/upstreams.md."
    )
    ingest_row_wait_s: float = Field(
        30.0,
        ge=0,
        le=600,
        description="Seconds after its notification for which an upload whose row is looked up waits for that row. Notifications"
        " behind it wait, too.",
    )


class IngestHttpSettings(Component):
    """The port of `thumbnails ingest http`."""

    ingest_http_host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - each request needs a token
    ingest_http_port: int = Field(8070, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ingest_http_tokens: SecretStr | None = Field(
        None, description="Tokens of callers, with commas between them, at least 16 characters each."
    )
    ingest_http_tokens_file: Path | None = Field(
        None, description="File with more of them, one a line; it is read again when it changes."
    )


class CleanupSettings(Component):
    """When thumbnails go that no row shows any more."""

    replaced_keep_s: float = Field(
        3600.0,
        ge=0,
        le=MAX_REPLACED_KEEP_S,
        description="Seconds for which replaced and deleted thumbnails stay readable at their old URLs; 0: they go at once."
        " Give worker and persist the same.",
    )


class HttpSettings(Component):
    """Where /metrics, /health/live and /health/ready are served."""

    http_host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - probes and Prometheus come from outside
    http_port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class LogSettings(Component):
    """The level and the format of logs."""

    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: JSON unless on a terminal.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum level of log lines.")


class TraceSettings(Component):
    """The switch for traces; OpenTelemetry's own OTEL_… variables say where they go, and how many."""

    traces: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where OTEL_EXPORTER_OTLP_ENDPOINT is set. Needs the extra `otel`: docs/traces.md."
    )


class WebSettings(Component):
    """The web page of `thumbnails web`."""

    web_host: str = Field(
        "127.0.0.1", description="Address to listen on; any other than a loopback address needs WEB_TOKEN."
    )
    web_port: int = Field(8090, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    web_token: SecretStr | None = Field(None, description="Token that a visitor must enter, at least 16 characters.")
    web_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Host names of the page, besides IP addresses: thumbs.example,thumbs."
    )
    web_image_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins from which browsers may load pictures, besides LOCAL_STORAGE_URL: https://s3.example,…"
    )
    web_tiles: int = Field(200, ge=10, le=1000, description="Number of newest uploads that the page shows.")

    @field_validator("web_allowed_hosts", "web_image_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
