"""Settings from the environment: one frozen class a component, read once at start and printed without secrets."""

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from processors import limits
from processors.renditions import parse_renditions
from schemas.topics import THUMBNAIL_RETRIES
from streams.retry_policy import parse_limits


class _Component(BaseSettings):
    # Errors must not show what was given: it may be a password.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)


class KafkaSettings(_Component):
    """How to reach Kafka."""

    kafka_bootstrap_servers: str = Field("localhost:9092", description="Brokers to start from: host:port,host:port.")
    kafka_topic_prefix: str = Field(
        "", description="Put before every topic's name, so that installations share a cluster."
    )
    kafka_session_timeout_s: float = Field(
        30.0, ge=6, le=300, description="A consumer that is silent this long loses its partitions, in seconds."
    )
    kafka_replication_factor: int = Field(
        -1, ge=-1, description="Replicas of the topics that `topics create` makes; -1 takes the broker's default."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers' listener speaks: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How we log in with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(None, description="Whom we log in as with SASL.")
    kafka_sasl_password: SecretStr | None = Field(None, description="The password to it.")
    kafka_ssl_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that may vouch for a broker; without it, the system's."
    )
    kafka_ssl_cert_file: Path | None = Field(
        None, description="PEM file of our own certificate (and its chain), where brokers ask for one (mTLS)."
    )
    kafka_ssl_key_file: Path | None = Field(None, description="PEM file of its private key.")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="The password of that key, if it has one.")
    kafka_ssl_check_hostname: bool = Field(
        True, description="Whether a broker's certificate must be for the name that we connect to."
    )

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.kafka_security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether we log in by name."""
        return self.kafka_security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problem = _sasl_problem(self) or _tls_problem(self)
        if problem is not None:
            raise PydanticCustomError("contradiction", "{problem}", {"problem": problem})
        return self


def _sasl_problem(kafka: KafkaSettings) -> str | None:
    """What contradicts KAFKA_SECURITY_PROTOCOL in the settings of SASL, as a sentence without its full stop."""
    given = {
        "KAFKA_SASL_MECHANISM": kafka.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": kafka.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": kafka.kafka_sasl_password,
    }
    for name, value in given.items():
        if kafka.uses_sasl and value is None:
            return f"{name} is needed with KAFKA_SECURITY_PROTOCOL={kafka.kafka_security_protocol}"
        if not kafka.uses_sasl and value is not None:
            return (
                f"{name} has no effect with KAFKA_SECURITY_PROTOCOL={kafka.kafka_security_protocol}:"
                " set SASL_SSL (or SASL_PLAINTEXT), or remove it"
            )
    return None


def _tls_problem(kafka: KafkaSettings) -> str | None:
    """The same of TLS. A certificate that is not used would be trusted to protect what it does not."""
    given = {
        "KAFKA_SSL_CA_FILE": kafka.kafka_ssl_ca_file,
        "KAFKA_SSL_CERT_FILE": kafka.kafka_ssl_cert_file,
        "KAFKA_SSL_KEY_FILE": kafka.kafka_ssl_key_file,
        "KAFKA_SSL_KEY_PASSWORD": kafka.kafka_ssl_key_password,
    }
    for name, value in given.items():
        if not kafka.uses_tls and value is not None:
            return (
                f"{name} has no effect with KAFKA_SECURITY_PROTOCOL={kafka.kafka_security_protocol}:"
                " set SSL or SASL_SSL, or remove it"
            )
    if kafka.kafka_ssl_cert_file is not None and kafka.kafka_ssl_key_file is None:
        return "KAFKA_SSL_KEY_FILE is needed with KAFKA_SSL_CERT_FILE: the certificate alone proves nothing"
    if kafka.kafka_ssl_key_file is not None and kafka.kafka_ssl_cert_file is None:
        return "KAFKA_SSL_CERT_FILE is needed with KAFKA_SSL_KEY_FILE"
    if kafka.kafka_ssl_key_password is not None and kafka.kafka_ssl_key_file is None:
        return "KAFKA_SSL_KEY_PASSWORD has no effect without KAFKA_SSL_KEY_FILE"
    return None


class WorkerSettings(_Component):
    """How the worker takes and works on events."""

    worker_group: str = Field("thumbnails", description="Consumer group; the roles add -persist and -retry to it.")
    worker_concurrency: int = Field(
        8, ge=1, le=256, description="Events in work at once; more than DECODE_SLOTS, so that uploads overlap decoding."
    )
    event_bound_s: float = Field(
        180.0, gt=0, description="An event in work for longer makes /health/live fail, in seconds."
    )
    shutdown_timeout_s: float = Field(
        25.0,
        gt=0,
        le=600,
        description="What a role that is told to stop may finish, in seconds; the rest is handed back."
        " Stay below the grace period of whoever stops it.",
    )


class DecodeSettings(_Component):
    """How media are decoded."""

    decode_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Decoders at once; one a core by default.",
    )
    decode_timeout_s: float = Field(30.0, gt=0, description="Wall time of one decode, in seconds.")
    decode_cpu_s: int = Field(limits.CPU_S, ge=1, le=3600, description="Processor time of one decode, in seconds.")
    decode_memory_mb: int = Field(1024, ge=128, description="Memory of one decode, in MiB.")
    decode_max_source_bytes: int = Field(
        limits.MAX_SOURCE_BYTES, ge=1, description="Larger sources are refused, in bytes."
    )
    decode_max_pixels: int = Field(
        limits.MAX_PIXELS, ge=1, le=2**31 - 1, description="Pictures and video frames with more pixels are refused."
    )
    decode_max_frames: int = Field(
        limits.MAX_FRAMES, ge=1, description="Animated pictures with more frames are refused."
    )
    decode_max_reads: int = Field(
        limits.MAX_READS, ge=16, description="Requests that one decode may make to the storage."
    )
    decode_max_read_bytes: int = Field(
        limits.MAX_BYTES_READ,
        ge=limits.MIB,
        description="Bytes that one decode may read; never more than twice the source and 64 MiB.",
    )
    decode_confinement: Literal["required", "best_effort", "off"] = Field(
        "required",
        description="Whether a worker starts where its decoders cannot be locked in: by seccomp, and Landlock where it is.",
    )
    decode_heic: Literal["auto", "off"] = Field(
        "auto", description="Whether HEIC pictures are read: auto where the extra `heic` is installed."
    )
    frame_decoder: Literal["auto", "pyav", "opencv"] = Field("auto", description="What takes frames out of videos.")
    frame_strategy: Literal["smart", "fixed"] = Field("smart", description="How the moment of a video is chosen.")
    thumbnail_renditions: str = Field(
        "small:150x112:fit,medium:320x240:fit,large:640x480:fit",
        description="The pictures that are made of each source: name:WIDTHxHEIGHT:fit or fill, at most 16.",
    )
    thumbnail_format: Literal["webp", "jpeg", "avif"] = Field("webp", description="Format of the thumbnails.")
    thumbnail_quality: int = Field(80, ge=1, le=100, description="Quality of the thumbnails' encoding.")
    thumbnail_max_bytes: int = Field(
        limits.MAX_RENDITION_BYTES,
        ge=1024,
        description="A larger thumbnail is made with less quality, then with fewer pixels, in bytes.",
    )
    thumbnail_alpha: Literal["keep", "flatten"] = Field(
        "keep", description="Whether transparency is kept, or laid on the background; JPEG never keeps it."
    )
    thumbnail_background: str = Field(
        "ffffff", pattern="^#?[0-9a-fA-F]{6}$", description="Colour behind what is transparent: RRGGBB, in hexadecimal."
    )

    @field_validator("thumbnail_renditions")
    @classmethod
    def _parse(cls, value: str) -> str:
        parse_renditions(value)
        return value

    @field_validator("thumbnail_background")
    @classmethod
    def _bare(cls, value: str) -> str:
        return value.removeprefix("#")


class RetrySettings(_Component):
    """When failed events are tried again."""

    retry_delays_s: Annotated[tuple[float, ...], NoDecode] = Field(
        (60.0, 120.0, 240.0), description="Seconds to wait before each retry, one a retry topic: 60,120,240."
    )
    retry_budget_s: float = Field(
        86_400.0,
        gt=0,
        description="No retry later than this after the first failure, or the last replay, in seconds.",
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


class DeadLetterSettings(_Component):
    """When a record is parked instead of replayed, and when so many fail that the worker stops."""

    dlq_max_replays: int = Field(
        3, ge=1, le=100, description="A dead letter that was replayed this often goes to thumbnail.dlq.parked instead."
    )
    dlq_max_consecutive: int = Field(
        500,
        ge=0,
        description="When more records in a row fail for good, the worker stops before the next dead letter; 0: never.",
    )
    dlq_max_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Likewise when a larger part of DLQ_WINDOW_S fails with codes that suggest a broken deploy; 0: never.",
    )
    dlq_window_s: float = Field(300.0, gt=0, description="What DLQ_MAX_RATIO looks at, in seconds.")
    dlq_min_events: int = Field(100, ge=1, description="Fewer records than this in the window are no ratio.")


class StorageSettings(_Component):
    """Local storage, and what happens when a tenant's own storage fails."""

    local_storage_root: Path = Field(Path("storage-data"), description="Folder of local storage.")
    local_storage_url: str = Field(
        "http://localhost:8000/storage", description="URL under which that folder is served."
    )
    storage_fallback: Literal["local", "never"] = Field(
        "local", description="Where thumbnails go when the tenant's own storage fails for good: local, or nowhere."
    )
    tenant_cache_s: float = Field(
        10.0, ge=0, description="How long a company's storage settings are remembered, in seconds."
    )


class ConnectionSettings(_Component):
    """Tenants' own storage connections: S3/MinIO and Yandex Disk."""

    storage_credentials_key: SecretStr | None = Field(
        None,
        description="Fernet keys for storage_connections.credentials, newest first: KEY,OLD_KEY."
        " `thumbnails credentials key` makes one.",
    )
    storage_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks that are not public, but that storage may connect to: 10.0.0.0/8,fd00::/8."
    )
    storage_allow_http: bool = Field(False, description="Whether storage may also be spoken to without TLS.")
    storage_connect_timeout_s: float = Field(3.0, gt=0, description="To connect to a storage, in seconds.")
    storage_read_timeout_s: float = Field(10.0, gt=0, description="Between two bytes of an answer, in seconds.")
    storage_pool_size: int = Field(10, ge=1, le=256, description="HTTP connections at most to one storage connection.")
    storage_max_open: int = Field(64, ge=1, le=4096, description="Storage connections that are open at once at most.")
    storage_breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a storage connection is given a rest."
    )
    storage_breaker_open_s: float = Field(
        30.0, gt=0, description="How long it rests before one call tries it again, in seconds."
    )
    yandex_disk_api_url: str = Field("https://cloud-api.yandex.net", description="The Yandex Disk REST API.")

    @field_validator("storage_allowed_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class DatabaseSettings(_Component):
    """The platform's database."""

    database_url: str = Field(
        "sqlite:///thumbnails.db", description="SQLAlchemy URL: postgresql+psycopg://… or sqlite:///…"
    )


class HttpSettings(_Component):
    """Where /metrics, /health/live and /health/ready are served."""

    http_host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - probes and Prometheus come from outside
    http_port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class WebSettings(_Component):
    """The web page of `thumbnails web`."""

    web_host: str = Field("127.0.0.1", description="Address to listen on; any but this machine's own needs WEB_TOKEN.")
    web_port: int = Field(8090, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    web_token: SecretStr | None = Field(None, description="What a visitor must give, at least 16 characters.")
    web_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names under which the page is reached, besides addresses: thumbs.example,thumbs."
    )
    web_image_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Storages whose pictures browsers may load, besides LOCAL_STORAGE_URL: https://s3.example,…"
    )
    web_tiles: int = Field(200, ge=10, le=1000, description="Uploads that the page remembers, the newest ones.")

    @field_validator("web_allowed_hosts", "web_image_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class LogSettings(_Component):
    """What is logged, and how it looks."""

    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: JSON unless on a terminal.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least severe level shown.")


class TraceSettings(_Component):
    """Whether traces are sent; where and how many is said by OpenTelemetry's own OTEL_… variables."""

    traces: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where OTEL_EXPORTER_OTLP_ENDPOINT is set. Needs the extra `otel`: docs/traces.md."
    )


class Settings:
    """All settings of one process."""

    def __init__(self) -> None:
        self.kafka = KafkaSettings()
        self.worker = WorkerSettings()
        self.decode = DecodeSettings()
        self.retry = RetrySettings()
        self.dead_letters = DeadLetterSettings()
        self.storage = StorageSettings()
        self.connections = ConnectionSettings()
        self.database = DatabaseSettings()
        self.http = HttpSettings()
        self.web = WebSettings()
        self.log = LogSettings()
        self.traces = TraceSettings()

    def components(self) -> tuple[BaseSettings, ...]:
        """Every component's settings, in the order of the documentation."""
        return (
            self.kafka,
            self.worker,
            self.decode,
            self.retry,
            self.dead_letters,
            self.storage,
            self.connections,
            self.database,
            self.http,
            self.web,
            self.log,
            self.traces,
        )

    def redacted(self) -> dict[str, Any]:
        """Every setting by its environment name, passwords in URLs replaced."""
        values = {
            name.upper(): value for part in self.components() for name, value in part.model_dump(mode="json").items()
        }
        values["DATABASE_URL"] = redact_url(self.database.database_url)
        return values


def redact_url(url: str) -> str:
    """`url` with its password replaced by ***."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _password = login.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{place}" if at else url
