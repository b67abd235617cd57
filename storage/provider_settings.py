"""The settings that every provider's builder gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from storage.base import StorageProvider
from storage.connections import HttpLimits, LocalStorageSettings
from storage.credentials import CredentialsCipher, Model
from storage.outbound import EndpointPolicy


@dataclass(frozen=True)
class ProviderSettings:
    """The operator's settings for the providers of all tenants. `options` holds the settings of single providers."""

    local: LocalStorageSettings
    cipher: CredentialsCipher = field(default_factory=CredentialsCipher, repr=False)
    policy: EndpointPolicy = field(default_factory=EndpointPolicy)
    limits: HttpLimits = field(default_factory=HttpLimits)
    options: tuple[BaseModel, ...] = ()

    def options_of(self, model: type[Model]) -> Model:
        """Return one provider's own settings, or their defaults where the operator gave none."""
        return next((found for found in self.options if isinstance(found, model)), None) or model()


Builder = Callable[[Mapping[str, Any], str, ProviderSettings], StorageProvider]
"""Makes a provider of (decrypted credentials, base path, the operator's settings). It connects to nothing yet."""
