"""Make the JSON Schema 2020-12 of each event from the models that read and write it."""

from typing import Any, Final

from schemas.contracts.events import EventContract

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_READ: Final = "What the pipeline accepts. Fields that it does not know are ignored."
_WRITTEN: Final = "What the pipeline writes. Every field is always there; later releases may add some: ignore them."


def json_schema(contract: EventContract) -> dict[str, Any]:
    """Return the whole document. `$id` is a name, not an address: nothing is to be fetched."""
    body = contract.model.model_json_schema(mode=contract.mode)
    side = _WRITTEN if contract.is_ours else _READ
    head = {
        "$schema": DIALECT,
        "$id": f"urn:vertexar:schema:{contract.name}",
        "title": contract.title,
        "description": f"{contract.summary} {body.pop('description')} {side}",
    }
    return head | body | {"examples": list(contract.examples)}


def reader_schema(contract: EventContract) -> dict[str, Any]:
    """Return the schema of what the present code accepts: for an event that the pipeline writes, more than the exported schema."""
    return contract.model.model_json_schema(mode="validation")
