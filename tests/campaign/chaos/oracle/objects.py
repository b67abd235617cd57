"""Whether the stored objects are those that rows show, all of them and no others, with the picture of their own source."""

from collections.abc import Iterator
from typing import Any

from tests.campaign.chaos.evidence import FALLBACK, StoredFile
from tests.campaign.chaos.oracle.facts import BASE_PATHS, Finding, Published, State
from tests.campaign.chaos.pictures import TOLERANCE, distance


def check_objects(state: State) -> Iterator[Finding]:
    """Every object in every place."""
    owned = set()
    for record_key, row in state.evidence.rows.items():
        announced = state.announcement(record_key, row)
        if announced is None:
            continue  # reported with the rows, or never had any
        upload, event = announced
        place = FALLBACK if event["storage"]["fallback"] else BASE_PATHS[upload.planned.company_id]
        for item in event["renditions"]:
            owned.add((place, item["key"]))
            yield from _object(
                f"{item['key']} in {place}", state.evidence.objects.get((place, item["key"])), item, upload
            )
    for place, key in sorted(state.evidence.objects.keys() - owned):
        yield Finding("orphan", f"{key} in {place}")


def _object(name: str, found: StoredFile | None, item: dict[str, Any], upload: Published) -> Iterator[Finding]:
    if found is None:
        yield Finding("missing object", f"{upload.name}: {name} is not there")
        return
    if (found.size_bytes, found.sha256) != (item["bytes"], item["sha256"]):
        yield Finding("wrong object", f"{upload.name}: {name} has other bytes")
    picture = found.picture
    if picture is None:
        yield Finding("wrong picture", f"{upload.name}: {name} is no picture")
        return
    if (picture.width, picture.height, picture.format) != (item["width"], item["height"], item["format"]):
        yield Finding("wrong object", f"{upload.name}: {name} is {picture}, and not what is said of it")
    far = distance(picture.colours, upload.planned.colours)
    if far > TOLERANCE:
        yield Finding("wrong picture", f"{upload.name}: {name} is {far} off the colours of its source")
