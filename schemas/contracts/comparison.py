"""Compare two JSON Schemas: find what a reader refuses of what a writer may write.

Which side changed does not matter here: an event that others write is read by the new schema and was written by the old
one, an event that we write is the other way round. A keyword that is not known here is a refusal, too: a comparison that
does not understand a change must not let it pass.
"""

import re
from typing import Any, Final

Schema = dict[str, Any]

_ANNOTATIONS: Final = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "examples", "default", "deprecated"}
)
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_COMPARED: Final = frozenset(
    {"$ref", "type", "anyOf", "enum", "const", "pattern", "format", "items", "properties", "required"}
    | {"additionalProperties"}
    | set(_LOWER)
    | set(_UPPER)
)
_ANY_TYPE: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


class Document:
    """One schema with the definitions that its references name."""

    def __init__(self, root: Schema) -> None:
        self._root: Final = root

    def resolved(self, schema: Schema) -> Schema:
        """Return the schema behind `$ref`; what stands beside the reference is added. Raises KeyError for a wrong reference."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        found: Any = self._root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return self.resolved(found) | beside

    def branches(self, schema: Schema) -> list[Schema]:
        """Return the alternatives of a schema, each with one set of types."""
        schema = self.resolved(schema)
        if "anyOf" not in schema:
            return [schema]
        return [branch for option in schema["anyOf"] for branch in self.branches(option)]


def refusals(reader: Schema, writer: Schema, path: str = "") -> list[str]:
    """Return a sentence for each thing that `writer` may write and `reader` refuses; empty when it accepts everything."""
    return _Comparison(Document(reader), Document(writer)).of(reader, writer, path)


def missing_fields(old: Schema, new: Schema, path: str = "") -> list[str]:
    """Return a sentence for each field of `old` that `new` lacks."""
    return _missing(Document(old), Document(new), old, new, path)


def _missing(old_in: Document, new_in: Document, old: Schema, new: Schema, path: str) -> list[str]:
    found: list[str] = []
    fields = _fields(new_in, new)
    for name, was in _fields(old_in, old).items():
        if name in fields:
            found += _missing(old_in, new_in, was, fields[name], f"{path}.{name}")
        else:
            found.append(f"{_at(path, name)} was removed")
    olds, news = (
        [branch["items"] for branch in doc.branches(one) if "items" in branch]
        for doc, one in ((old_in, old), (new_in, new))
    )
    for was, now in zip(olds, news, strict=False):
        found += _missing(old_in, new_in, was, now, f"{path}[]")
    return found


def _fields(document: Document, schema: Schema) -> dict[str, Schema]:
    return {name: field for branch in document.branches(schema) for name, field in branch.get("properties", {}).items()}


class _Comparison:
    def __init__(self, reader_in: Document, writer_in: Document) -> None:
        self._reader_in: Final = reader_in
        self._writer_in: Final = writer_in

    def of(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        """Compare alternatives: one of the reader's must accept each of the writer's whole."""
        found: list[str] = []
        readers = self._reader_in.branches(reader)
        for branch in self._writer_in.branches(writer):
            for kind in sorted(_types(branch)):
                fitting = [option for option in readers if _takes(option, kind)]
                if not fitting:
                    found.append(f"{_at(path)} may be {kind}, which the reader does not take")
                    continue
                nearest: list[str] = min((self._branch(option, branch, path) for option in fitting), key=len)
                found += nearest
        return list(dict.fromkeys(found))

    def _branch(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        found = _unknown(reader, writer, path) + _values(reader, writer, path) + self._object(reader, writer, path)
        if "items" in reader:
            found += self.of(reader["items"], writer.get("items", {}), f"{path}[]")
        return found

    def _object(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        always = writer.get("required", [])
        found = [
            f"{_at(path, name)} is required by the reader, and not always written"
            for name in reader.get("required", [])
            if name not in always
        ]
        known, written = reader.get("properties", {}), writer.get("properties", {})
        for name in known:
            if name in written:
                found += self.of(known[name], written[name], f"{path}.{name}")
        if reader.get("additionalProperties", True) is False:
            if writer.get("additionalProperties", True) is not False:
                found.append(f"{_at(path)} may have more fields, which the reader refuses")
            found += [f"{_at(path, name)} is refused by the reader" for name in written if name not in known]
        return found


def _types(schema: Schema) -> frozenset[str]:
    kind = schema.get("type")
    if kind is None:
        return _ANY_TYPE
    return frozenset([kind] if isinstance(kind, str) else kind)


def _takes(reader: Schema, kind: str) -> bool:
    return kind in _types(reader) or (kind == "integer" and "number" in _types(reader))


def _values(reader: Schema, writer: Schema, path: str) -> list[str]:
    taken, written = _listed(reader), _listed(writer)
    if written is not None:
        wrong = [value for value in written if not _is_taken(reader, value)]
        return [f"{_at(path)} may be {value!r}, which the reader does not take" for value in wrong]
    if taken is not None:
        return [f"{_at(path)} may have any value, and the reader takes {taken} alone"]
    return _bounds(reader, writer, path) + _forms(reader, writer, path)


def _listed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _is_taken(reader: Schema, value: Any) -> bool:
    taken = _listed(reader)
    if taken is not None:
        return value in taken
    if not isinstance(value, str):
        return not any(name in reader for name in (*_LOWER, *_UPPER))  # no schema here has a list of numbers
    fits = reader.get("minLength", 0) <= len(value) <= reader.get("maxLength", len(value))
    return fits and "format" not in reader and re.search(reader.get("pattern", ""), value) is not None


def _bounds(reader: Schema, writer: Schema, path: str) -> list[str]:
    found = []
    for name in (*_LOWER, *_UPPER):
        if name not in reader:
            continue
        limit, written = reader[name], writer.get(name)
        if written is None or (written < limit if name in _LOWER else written > limit):
            has = "no limit" if written is None else written
            found.append(f"{_at(path)}: {name} is {limit} for the reader and {has} for the writer")
    return found


def _forms(reader: Schema, writer: Schema, path: str) -> list[str]:
    """Compare patterns and formats, which can only be equal or different."""
    return [
        f"{_at(path)}: {name} is {reader[name]!r} for the reader and {writer.get(name)!r} for the writer"
        for name in ("pattern", "format")
        if name in reader and reader[name] != writer.get(name)
    ]


def _unknown(reader: Schema, writer: Schema, path: str) -> list[str]:
    names = sorted((set(reader) | set(writer)) - _ANNOTATIONS - _COMPARED)
    return [f"{_at(path)}: {name} cannot be compared" for name in names if not name.startswith("x-")]


def _at(path: str, name: str | None = None) -> str:
    return (path if name is None else f"{path}.{name}").lstrip(".") or "the value"
