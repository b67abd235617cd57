"""What one component's settings are: a frozen class, read from the environment once, at the start."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Component(BaseSettings):
    """What all have in common: they do not change, and a value of someone else's is not an error."""

    # Errors must not show what was given: it may be a password.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)
