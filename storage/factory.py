"""get_provider: a storage connection's row becomes the provider that it describes."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from schemas.errors import ThumbnailError
from storage.base import StorageProvider
from storage.connections import ProviderConfigurationError, StorageConnection
from storage.local_disk.provider import build as build_local_disk
from storage.provider_settings import Builder, ProviderSettings
from storage.s3.provider import build as build_s3
from storage.yandex.provider import build as build_yandex

__all__ = ["PLUGIN_GROUP", "Builder", "ProviderSettings", "get_provider", "known_providers", "provider_label"]

PLUGIN_GROUP: Final = "thumbnails.storage_providers"
"""Entry points of other packages: the name is what a row's `provider` says, the object is a Builder."""
_BUILDERS: Final[dict[str, Builder]] = {
    "local_disk": build_local_disk,
    "minio": build_s3,
    "yandex_disk": build_yandex,
}
_EXTRAS: Final = {"azure_blob": ("storage.azure.provider", "azure"), "gcs": ("storage.gcs.provider", "gcs")}
"""Providers by their module and the extra that it needs. Each is imported when a connection uses it: an SDK takes seconds."""
_DISTRIBUTION: Final = "thumbnail-pipeline"


def get_provider(connection: StorageConnection | None, *, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of `connection`; None is the host's own local storage.

    Raises ProviderConfigurationError for an unknown provider, and for settings that cannot work.
    """
    if connection is None:
        return build_local_disk({}, "", settings)
    try:
        build = _find_builder(connection.provider)
        return build(settings.cipher.decrypt(connection.credentials), connection.base_path.strip("/"), settings)
    except ThumbnailError as exc:
        raise ProviderConfigurationError(f"Storage connection {connection.id} cannot work: {exc.message}") from exc


def provider_label(name: str) -> str:
    """Return `name` if a provider has it, else `unknown`: rows may hold anything, but labels of metrics are bounded."""
    is_ours = name in _BUILDERS or name in _EXTRAS
    return name if is_ours or name in entry_points(group=PLUGIN_GROUP).names else "unknown"


def known_providers() -> list[str]:
    """Return the names that rows may have in `provider`, sorted: ours, and those of installed packages."""
    return sorted({*_BUILDERS, *_EXTRAS, *entry_points(group=PLUGIN_GROUP).names})


def _find_builder(name: str) -> Builder:
    if name in _BUILDERS:
        return _BUILDERS[name]
    if name in _EXTRAS:
        return _import_builder(name, *_EXTRAS[name])
    plugins = entry_points(group=PLUGIN_GROUP)
    if name in plugins.names:
        return cast(Builder, plugins[name].load())
    raise ProviderConfigurationError(f"It names the provider {name[:40]!r}; known are {', '.join(known_providers())}.")


def _import_builder(name: str, module: str, extra: str) -> Builder:
    try:
        return cast(Builder, import_module(module).build)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] in ("storage", "schemas"):
            raise  # ours: a mistake, and no extra fixes it
        raise ProviderConfigurationError(
            f"The provider {name} needs a package that is not installed: pip install '{_DISTRIBUTION}[{extra}]'."
        ) from exc
