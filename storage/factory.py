"""get_provider: a storage connection's row becomes the provider that it describes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final, cast

from schemas.errors import ThumbnailError
from storage.base import StorageProvider
from storage.connections import LocalStorageSettings, ProviderConfigurationError, StorageConnection
from storage.credentials import CredentialsCipher, MinioCredentials, YandexDiskCredentials, parse_credentials
from storage.local_disk.provider import LocalStorageProvider
from storage.outbound import EndpointPolicy, HttpLimits, guarded_session
from storage.s3.provider import MinioStorageProvider
from storage.yandex.provider import YandexDiskProvider, YandexDiskSettings

PLUGIN_GROUP: Final = "thumbnails.storage_providers"
"""Entry points of other packages: the name is what a row's `provider` says, the object is a Builder."""
YANDEX_API_URL: Final = "https://cloud-api.yandex.net"


@dataclass(frozen=True)
class ProviderSettings:
    """What the operator decides for the providers of all tenants."""

    local: LocalStorageSettings
    cipher: CredentialsCipher = field(default_factory=CredentialsCipher, repr=False)
    policy: EndpointPolicy = field(default_factory=EndpointPolicy)
    limits: HttpLimits = field(default_factory=HttpLimits)
    yandex_api_url: str = YANDEX_API_URL


Builder = Callable[[Mapping[str, Any], str, ProviderSettings], StorageProvider]
"""Makes a provider of (decrypted credentials, base path, the operator's settings). It connects to nothing yet."""


def get_provider(connection: StorageConnection | None, *, settings: ProviderSettings) -> StorageProvider:
    """The provider of `connection`; None is the host's own local storage.

    Raises ProviderConfigurationError for an unknown provider, and for settings that cannot work.
    """
    if connection is None:
        return LocalStorageProvider(settings.local.root, settings.local.base_url)
    try:
        build = _find_builder(connection.provider)
        return build(settings.cipher.decrypt(connection.credentials), connection.base_path.strip("/"), settings)
    except ThumbnailError as exc:
        raise ProviderConfigurationError(f"Storage connection {connection.id} cannot work: {exc.message}") from exc


def provider_label(name: str) -> str:
    """`name` where it is a known provider's, else `unknown`: rows may hold anything, metrics' labels must be bounded."""
    return name if name in _BUILDERS or name in entry_points(group=PLUGIN_GROUP).names else "unknown"


def _find_builder(name: str) -> Builder:
    if name in _BUILDERS:
        return _BUILDERS[name]
    plugins = entry_points(group=PLUGIN_GROUP)
    if name in plugins.names:
        return cast(Builder, plugins[name].load())
    known = ", ".join(sorted({*_BUILDERS, *plugins.names}))
    raise ProviderConfigurationError(f"It names the provider {name[:40]!r}; known are {known}.")


def _build_local(_credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    # A tenant chooses a folder below the host's root, never a path of the host.
    return LocalStorageProvider(settings.local.root, settings.local.base_url, base_path)


def _build_minio(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    found = parse_credentials(MinioCredentials, credentials)
    return MinioStorageProvider(found, base_path=base_path, policy=settings.policy, limits=settings.limits)


def _build_yandex(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    found, limits = parse_credentials(YandexDiskCredentials, credentials), settings.limits
    yandex = YandexDiskSettings(
        token=found.token.get_secret_value(),
        api_url=settings.policy.check_url(settings.yandex_api_url),
        root=found.root,
        public_base_url=found.public_base_url,
        timeout_s=(limits.connect_timeout_s, limits.read_timeout_s),
    )
    session = guarded_session(settings.policy, max_connections=limits.max_connections)
    return YandexDiskProvider(yandex, base_path=base_path, session=session)


_BUILDERS: Final[dict[str, Builder]] = {
    "local_disk": _build_local,
    "minio": _build_minio,
    "yandex_disk": _build_yandex,
}
