"""The part of the composition root that builds the storages: local storage, the tenants', and their limits."""

from functools import partial
from typing import Final

import sqlalchemy as sa

from schemas.metrics import Metrics
from service.settings import Settings
from storage.breaker import BreakerPolicy, BreakerState
from storage.connections import HttpLimits
from storage.credentials import CredentialsCipher
from storage.factory import ProviderSettings, get_provider, provider_label
from storage.local_disk.provider import LocalStorageProvider
from storage.outbound import EndpointPolicy
from storage.provider_cache import ProviderCache
from storage.tenants import Tenants
from streams.rows.companies import SqlCompanyDirectory

MAX_CACHED_TENANTS: Final = 1024


def build_local_storage(settings: Settings) -> LocalStorageProvider:
    """Local storage, where fallbacks go."""
    local = settings.storage.local
    return LocalStorageProvider(local.root, local.base_url)


def provider_settings(settings: Settings) -> ProviderSettings:
    """Return what the operator decides for all tenants' storage. Raises CredentialsKeyError for a key that is none."""
    chosen = settings.connections
    return ProviderSettings(
        local=settings.storage.local,
        cipher=CredentialsCipher.of(chosen.storage_credentials_key),
        policy=EndpointPolicy(chosen.storage_allowed_networks, chosen.storage_allow_http),
        limits=HttpLimits(chosen.storage_pool_size, chosen.storage_connect_timeout_s, chosen.storage_read_timeout_s),
        options=(chosen,),
    )


def build_providers(settings: Settings, metrics: Metrics) -> ProviderCache:
    """Return the providers of all storage connections; each connects at its first use."""
    of_all = provider_settings(settings)
    cache = ProviderCache(
        lambda connection: get_provider(connection, settings=of_all),
        max_open=settings.connections.storage_max_open,
        breaker_policy=BreakerPolicy(
            settings.connections.storage_breaker_failures, settings.connections.storage_breaker_open_s
        ),
        on_breaker_open=lambda name: metrics.breaker_opened_total.labels(provider_label(name)).inc(),
    )
    metrics.open_providers.set_function(lambda: cache.open_count)
    for state in BreakerState:
        metrics.breakers.labels(state).set_function(partial(_count_breakers, cache, state))
    return cache


def _count_breakers(cache: ProviderCache, state: BreakerState) -> int:
    return sum(found.state is state for found in cache.health())


def build_tenants(settings: Settings, engine: sa.Engine, providers: ProviderCache | None = None) -> Tenants:
    """Build the companies and their storage from the database."""
    return Tenants(
        SqlCompanyDirectory(engine),
        settings=provider_settings(settings),
        cache=providers or build_providers(settings, Metrics()),
        fallback=settings.storage.storage_fallback,
        cache_ttl_s=settings.storage.tenant_cache_s,
        max_cached=MAX_CACHED_TENANTS,
    )
