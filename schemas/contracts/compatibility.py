"""Check that producers, consumers and records of an earlier release stay compatible within a major version."""

from typing import Any

from schemas.contracts.comparison import missing_fields, refusals
from schemas.contracts.events import EVENTS
from schemas.contracts.files import ASYNCAPI_FILE, schema_file
from schemas.contracts.json_schema import reader_schema

Documents = dict[str, dict[str, Any]]
"""The exported documents by file name."""


def breaks(released: Documents, present: Documents, readers: Documents | None = None) -> list[str]:
    """Return a sentence for each part of `present` that is incompatible with `released`.

    `readers` is what the present code accepts of the events that it writes itself, by file name: its own records of the
    last days, and the dead letters of a month, must stay readable. By default from the models.
    """
    readers = _own_readers() if readers is None else readers
    found = []
    for name, old in released.items():
        if name == ASYNCAPI_FILE:
            found += _of_channels(old, present.get(name, {})) + _of_messages(old, present.get(name, {}))
        elif name not in present:
            found.append(f"{name}: the event was removed; its consumers and records are still there")
        else:
            found += [f"{name}: {problem}" for problem in _of_event(old, present[name], readers.get(name))]
    return found


def _own_readers() -> Documents:
    return {schema_file(contract): reader_schema(contract) for contract in EVENTS if contract.is_ours}


def _of_event(old: dict[str, Any], new: dict[str, Any], own_reader: dict[str, Any] | None) -> list[str]:
    found = missing_fields(old, new)
    if own_reader is None:
        return found + [f"of a producer of the last release, {problem}" for problem in refusals(new, old)]
    found += [f"for a consumer of the last release, {problem}" for problem in refusals(old, new)]
    return found + [f"of our own older records, {problem}" for problem in refusals(own_reader, old)]


def _of_channels(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    for name, was in old["channels"].items():
        now = new.get("channels", {}).get(name)
        if now is None or now["address"] != was["address"]:
            found.append(f"{name}: the topic was removed or renamed")
            continue
        then, kept = (one["bindings"]["kafka"]["topicConfiguration"] for one in (was, now))
        if then["cleanup.policy"] != kept["cleanup.policy"]:
            found.append(f"{name}: cleanup.policy was {then['cleanup.policy']}, is {kept['cleanup.policy']}")
        if 0 <= kept["retention.ms"] < then["retention.ms"] or then["retention.ms"] < 0 <= kept["retention.ms"]:
            found.append(f"{name}: records are kept for a shorter time")
        found += [f"{name}: carries no {lost} any more" for lost in was["messages"] if lost not in now["messages"]]
    return found


def _of_messages(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Headers and keys. We write the messages of send operations; others write the rest."""
    sent = {
        reference["$ref"].rpartition("/")[2]
        for operation in old["operations"].values()
        if operation["action"] == "send"
        for reference in operation["messages"]
    }
    found = []
    for name, was in old["components"]["messages"].items():
        now = new.get("components", {}).get("messages", {}).get(name)
        if now is None:
            found.append(f"{name}: the message was removed")
            continue
        of_key = [one["bindings"]["kafka"]["key"] for one in (was, now)]
        for what, (before, after) in {"key": of_key, "headers": [was["headers"], now["headers"]]}.items():
            reader, writer = (before, after) if name in sent else (after, before)
            problems = missing_fields(before, after) + refusals(reader, writer)
            found += [f"{name}, {what}: {problem}" for problem in problems]
    return found
