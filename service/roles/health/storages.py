"""What a worker's /health/ready tells of companies' storages: which connections are given a rest, and whose they are."""

from typing import Any

from storage.breaker import BreakerState
from storage.provider_cache import ProviderCache
from storage.tenants import Tenants


def storage_details(providers: ProviderCache, tenants: Tenants) -> dict[str, Any]:
    """A tenant's storage that is down is told, but makes no worker unready: the other tenants need it."""
    connections = providers.health()
    resting = [found for found in connections if found.state is not BreakerState.CLOSED]
    return {
        "storage_connections": len(connections),
        "resting_connections": {found.connection_id: found.state for found in resting},
        "resting": [
            {
                "connection_id": found.connection_id,
                "provider": found.provider,
                "state": found.state,
                "company_ids": tenants.companies_of(found.connection_id),
            }
            for found in resting
        ],
    }
