"""Turn the options of `thumbnails storage add|set` into a provider's credentials; ask for what is missing on a terminal.

A secret is read from standard input or from a file. Every user of the host can see a command line, and the shell's history keeps it.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import typer

from service.tenants.values import RowError, WrongValueError
from storage.azure.credentials import AzureCredentials
from storage.credentials import Credentials, names_of
from storage.factory import known_providers
from storage.gcs.credentials import GcsCredentials
from storage.s3.credentials import MinioCredentials
from storage.yandex.credentials import YandexDiskCredentials

ALIASES: Final = {"azure": "azure_blob", "s3": "minio"}
"""Other names of providers; rows keep the one that `get_provider` knows."""
WITHOUT_CREDENTIALS: Final = frozenset({"local_disk"})
OPTIONS: Final = {
    name: f"--{option.replace('_', '-')}"
    for name, option in (
        *((name, name) for name in ("endpoint", "bucket", "access_key", "secret_key", "session_token", "region")),
        *((name, name) for name in ("addressing", "acl", "storage_class", "account", "container", "account_key")),
        *((name, name) for name in ("sas_token", "service_account", "token", "root")),
        ("ca_pem", "ca_file"),
        ("public_base_url", "public_url"),
    )
}
"""The option of each field that has one; the others are given with --credentials."""
_FIELDS: Final[Mapping[str, type[Credentials]]] = {
    "azure_blob": AzureCredentials,
    "gcs": GcsCredentials,
    "minio": MinioCredentials,
    "yandex_disk": YandexDiskCredentials,
}
_SECRETS: Final = frozenset({"secret_key", "session_token", "account_key", "sas_token", "service_account", "token"})
_QUESTIONS: Final = {
    "minio": {
        "endpoint": "Endpoint, a URL (empty: Amazon S3)",
        "bucket": "Bucket",
        "access_key": "Access key",
        "secret_key": "Secret key (not shown)",
    },
    "azure_blob": {
        "account": "Storage account",
        "container": "Container",
        "account_key": "Key of the account (not shown)",
    },
    "yandex_disk": {"token": "OAuth token (not shown)"},
}
_STDIN: Final = "-"
Ask = Callable[[str, bool], str]
"""Ask (a question, whether the answer is secret) and return the answer."""


def with_alias(provider: str) -> str:
    """Return the provider's name in rows. Raises WrongValueError for one that nobody has."""
    known = known_providers()
    name = ALIASES.get(provider, provider)
    if name not in known:
        others = _listed([f"{alias}, which means {meant}" for alias, meant in sorted(ALIASES.items())])
        raise WrongValueError(f"No provider is called {provider[:40]!r}: known are {', '.join(known)}, and {others}.")
    return name


def read_credentials(given: str, provider: str) -> str:
    """Return the JSON text that `given` leads to: `-` is standard input, @FILE a file. Raises WrongValueError, RowError."""
    _refuse_options(provider, ["--credentials"])
    return _read_secret(given, "--credentials")


def read_fields(provider: str, given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the fields of credentials that options give. Raises WrongValueError, RowError.

    `given` has the names of OPTIONS; None is an option that was not given.
    """
    found = {name: value for name, value in given.items() if value is not None}
    _refuse_options(provider, [OPTIONS[name] for name in found])
    if list(found.values()).count(_STDIN) > 1:
        raise WrongValueError("Standard input can be one secret only: give the other one as @FILE.")
    model = _FIELDS.get(provider)
    if model is None and found:
        raise WrongValueError(f"{provider} has no options of its own: give its credentials with --credentials.")
    strangers = [OPTIONS[name] for name in found if model is not None and name not in model.model_fields]
    if strangers:
        raise WrongValueError(
            f"{provider} has no {' and no '.join(strangers)}: it has {_listed(_options_of(provider))}."
        )
    return {name: _value_of(name, value) for name, value in found.items()}


def missing_fields(provider: str, fields: Mapping[str, str]) -> list[str]:
    """Return the fields that the provider needs and `fields` lacks, in the order of the options."""
    model = _FIELDS.get(provider)
    if model is None:
        return []
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    if not any(name in fields for name in model.one_of):
        needed |= set(model.one_of[:1])
    return [name for name in OPTIONS if name in needed and name not in fields]


def ask_for_missing(provider: str, fields: Mapping[str, str], ask: Ask) -> dict[str, str]:
    """Return `fields` with the answers to what is missing of them; an empty answer to what is not needed is left out."""
    answers = dict(fields)
    for name, question in _QUESTIONS.get(provider, {}).items():
        # The endpoint is asked for as well when nothing was given: without one it is Amazon's.
        if name in fields or (name not in missing_fields(provider, fields) and fields):
            continue
        answer = ask(question, name in _SECRETS).strip()
        if answer:
            answers[name] = answer
    return answers


def say_what_is_missing(provider: str, missing: Iterable[str]) -> str:
    """Return the sentence for a provider whose options are not complete and that nobody can be asked for."""
    options = [OPTIONS[name] for name in missing]
    if not options:
        return f"{provider} needs credentials: --credentials - reads their JSON from standard input, @FILE from a file."
    return (
        f"{provider} needs {_listed(options)} (for a secret, - is standard input and @FILE a file), or all as JSON with"
        " --credentials."
    )


def merged(provider: str, before: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Return credentials with some fields replaced, whatever name they had."""
    model = _FIELDS[provider]
    instead = {field for field in model.one_of if set(model.one_of) & fields.keys()}
    replaced = {name for field in {*fields, *instead} for name in names_of(model, field)}
    return {name: value for name, value in before.items() if name not in replaced} | dict(fields)


def _refuse_options(provider: str, options: list[str]) -> None:
    if provider in WITHOUT_CREDENTIALS and options:
        raise WrongValueError(f"{provider} has no credentials: leave out {_listed(options)}.")


def _options_of(provider: str) -> list[str]:
    return [option for name, option in OPTIONS.items() if name in _FIELDS[provider].model_fields]


def _value_of(name: str, given: str) -> str:
    if name in _SECRETS or given.startswith("@"):
        return _read_secret(given, OPTIONS[name]).strip()
    if name == "ca_pem":
        return _read_file(given)
    return _read_secret(given, OPTIONS[name]).strip() if given == _STDIN else given


def _read_secret(given: str, option: str) -> str:
    if given == _STDIN:
        # On a terminal, the typed secret must not be shown.
        return ask_on_terminal(f"{option} (not shown)", True) if sys.stdin.isatty() else _read_stdin()
    if not given.startswith("@"):
        raise WrongValueError(
            f"Do not write a secret on the command line: give {option} - for standard input, or {option} @FILE."
        )
    return _read_file(given[1:])


def _read_stdin() -> str:
    text = sys.stdin.buffer.read().decode("utf-8-sig", "replace")
    if not text.strip():
        raise WrongValueError("Standard input is empty: a secret was to be read from it.")
    return text


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, ValueError) as exc:  # a NUL in a name is a ValueError
        raise RowError(
            f"{getattr(exc, 'filename', None) or 'The file'}: {getattr(exc, 'strerror', None) or exc}."
        ) from exc


def ask_on_terminal(question: str, is_secret: bool) -> str:
    """Ask on the terminal; the question goes to standard error, so that a pipe behind the command gets none of it."""
    return str(typer.prompt(question, default="", show_default=False, hide_input=is_secret, err=True))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
