"""The names of all settings, and names in the environment that are nearly one: a misspelled one would silently leave the default."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

DECODE_NAMES: Final = frozenset(
    {
        "DECODE_SLOTS",
        "DECODE_TIMEOUT_S",
        "DECODE_CPU_S",
        "DECODE_MEMORY_MB",
        "DECODE_MAX_SOURCE_BYTES",
        "DECODE_MAX_PIXELS",
        "DECODE_MAX_FRAMES",
        "DECODE_MAX_READS",
        "DECODE_MAX_READ_BYTES",
        "DECODE_CONFINEMENT",
        "DECODE_HEIC",
        "DECODE_REUSE",
        "DECODE_REUSE_JOBS",
        "DECODE_REUSE_S",
        "FRAME_DECODER",
        "FRAME_STRATEGY",
        "THUMBNAIL_RENDITIONS",
        "THUMBNAIL_EFFORT",
        "THUMBNAIL_FORMAT",
        "THUMBNAIL_QUALITY",
        "THUMBNAIL_MAX_BYTES",
        "THUMBNAIL_ALPHA",
        "THUMBNAIL_BACKGROUND",
    }
)
"""Of DecodeSettings: where none of them is set, its defaults hold, and are known without it."""
NAMES: Final = DECODE_NAMES | {
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC_PREFIX",
    "KAFKA_NOTIFICATIONS_TOPIC",
    "KAFKA_SESSION_TIMEOUT_S",
    "KAFKA_GROUP_INSTANCE_ID",
    "KAFKA_REPLICATION_FACTOR",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_AWS_REGION",
    "KAFKA_OAUTH_TOKEN_URL",
    "KAFKA_OAUTH_CLIENT_ID",
    "KAFKA_OAUTH_CLIENT_SECRET",
    "KAFKA_OAUTH_SCOPE",
    "KAFKA_OAUTH_CA_FILE",
    "KAFKA_SSL_CA_FILE",
    "KAFKA_SSL_CERT_FILE",
    "KAFKA_SSL_KEY_FILE",
    "KAFKA_SSL_KEY_PASSWORD",
    "KAFKA_SSL_CHECK_HOSTNAME",
    "WORKER_GROUP",
    "WORKER_CONCURRENCY",
    "EVENT_BOUND_S",
    "EVENT_MAX_CLOCK_SKEW_S",
    "SHUTDOWN_TIMEOUT_S",
    "RETRY_DELAYS_S",
    "RETRY_BUDGET_S",
    "REPLACED_KEEP_S",
    "RETRY_LIMITS",
    "RETRY_JITTER",
    "DLQ_MAX_REPLAYS",
    "DLQ_MAX_CONSECUTIVE",
    "DLQ_MAX_RATIO",
    "DLQ_WINDOW_S",
    "DLQ_MIN_EVENTS",
    "DLQ_COMPANY_PER_MINUTE",
    "PERSIST_MAX_REFUSED",
    "PERSIST_FAULT_LIMIT_S",
    "INGEST_RULES",
    "INGEST_ROW_WAIT_S",
    "INGEST_HTTP_HOST",
    "INGEST_HTTP_PORT",
    "INGEST_HTTP_TOKENS",
    "INGEST_HTTP_TOKENS_FILE",
    "LOCAL_STORAGE_ROOT",
    "LOCAL_STORAGE_URL",
    "STORAGE_FALLBACK",
    "TENANT_CACHE_S",
    "YANDEX_DISK_API_URL",
    "STORAGE_AZURE_CACHE_CONTROL",
    "STORAGE_GCS_CACHE_CONTROL",
    "STORAGE_S3_CACHE_CONTROL",
    "STORAGE_S3_CONTENT_DISPOSITION",
    "STORAGE_CREDENTIALS_KEY",
    "STORAGE_ALLOWED_NETWORKS",
    "STORAGE_ALLOW_HTTP",
    "STORAGE_CONNECT_TIMEOUT_S",
    "STORAGE_READ_TIMEOUT_S",
    "STORAGE_POOL_SIZE",
    "STORAGE_MAX_OPEN",
    "STORAGE_BREAKER_FAILURES",
    "STORAGE_BREAKER_OPEN_S",
    "DATABASE_URL",
    "TENANT_TABLES_READ_ONLY",
    "HTTP_HOST",
    "HTTP_PORT",
    "WEB_HOST",
    "WEB_PORT",
    "WEB_TOKEN",
    "WEB_ALLOWED_HOSTS",
    "WEB_IMAGE_ORIGINS",
    "WEB_TILES",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "TRACES",
    "STATUS_METRICS_URLS",  # of two commands
}
"""Of all settings, which tests compare with their classes: those take 0.3 s to load."""
NEAR: Final = 0.85
"""Of difflib: one letter too many or too few in six, or two in thirteen."""
NEAR_AMONG_OURS: Final = 0.75
"""In a family of names that nobody else uses."""
_OURS: Final = (
    "DECODE_",
    "DLQ_",
    "INGEST_",
    "PERSIST_",
    "THUMBNAIL_",
    "LOCAL_STORAGE_",
    "STORAGE_",
    "FRAME_",
    "WORKER_",
    "RETRY_",
)
_OTHERS: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "HTTPS_PORT"})
# A service that is called `worker` gives every pod these: https://kubernetes.io/docs/concepts/services-networking/service/
_OF_KUBERNETES: Final = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")


@dataclass(frozen=True)
class Misspelling:
    """A name that no setting has, and the setting whose name is next to it."""

    name: str
    meant: str

    def __str__(self) -> str:
        return f"{self.name} is no setting and has no effect: {self.meant} is one."


def misspelled(environment: Mapping[str, str], known: Collection[str]) -> list[Misspelling]:
    """Return what is near a known name and is none, sorted. Upper and lower case are the same, as they are in settings."""
    found = []
    for name in sorted(environment):
        upper = name.upper()
        if "_" not in upper or upper in known or upper in _OTHERS or _is_of_kubernetes(upper, environment[name]):
            continue
        near = get_close_matches(upper, known, 1, NEAR_AMONG_OURS if upper.startswith(_OURS) else NEAR)
        if near:
            found.append(Misspelling(name, near[0]))
    return found


def _is_of_kubernetes(name: str, value: str) -> bool:
    return _OF_KUBERNETES.fullmatch(name) is not None and (not name.endswith("_PORT") or "://" in value)


def names_in_env_file(lines: Iterable[str]) -> dict[str, str]:
    """Return the names and values of a `.env` file, as Compose reads one; other lines are left out."""
    found = (re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", line) for line in lines)
    return {match[1]: match[2] for match in found if match}
