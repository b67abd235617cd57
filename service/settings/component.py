"""The settings of one component: a frozen class, read from the environment once, at the start."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Component(BaseSettings):
    """The base of all settings: they do not change, and variables of other programs are no error."""

    # Errors must not show what was given: it may be a password.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)
