"""The rules that say whose media an object of a bucket is: a TOML file with one table `[[rules]]` a rule."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.events import MediaKind
from schemas.faults import faults_in

_NAME: Final = re.compile(r"\{(\w+)\}")
_OUR_THUMBNAILS: Final = re.compile(r"(?:^|/)thumbnails/(?:video|image)/\d+/\d{8}T\d{6}\.\d{6}Z-[^/]+/[^/]+$")
"""What the worker itself writes: see storage.keys.thumbnail_key and schemas.events.upload_version."""
_PROBES: Final = re.compile(r"(?:^|/)health-probe/[0-9a-f]{16}$")
"""See StorageProvider.check."""
NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})
_DIGITS: Final = 10
"""Of the largest id in the database."""

Number = Annotated[int, Field(ge=1)] | Annotated[str, StringConstraints(min_length=1)]
"""A number, or a template of the groups of the patterns: "{id}"."""


class RulesError(Exception):
    """The file cannot be used; the message says why in one sentence."""


class UnplacedError(Exception):
    """A rule matches an object and makes no id of it; the message says why in one sentence."""


class Rule(BaseModel):
    """One rule. An object matches when all that is given of bucket, prefix and pattern match its bucket and its whole key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bucket: str | None = None
    bucket_pattern: str | None = None
    prefix: str = ""
    pattern: str | None = None
    skip: bool = False
    """Objects of this rule are no media: nobody wants to hear of them."""
    base_path: str = ""
    """The storage connection's base_path: keys in events begin after it."""
    lookup: bool = False
    """The media is the row that has the key as its path."""
    company: Number | None = None
    kind: Annotated[MediaKind, Field(strict=False)] | None = None
    id: Number | None = None
    ar_content_id: Number | None = None
    metadata: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")]] = Field(default_factory=list)
    """Names of what tusd's clients say of an upload, for templates as groups are: the rule is for uploads that have all."""
    deletions: bool = False
    """A removed object deletes its media's thumbnails."""

    @field_validator("bucket_pattern", "pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as exc:
            raise PydanticCustomError("pattern", "not a regular expression: {why}", {"why": str(exc)}) from exc
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problem = self._contradiction()
        if problem is not None:
            raise PydanticCustomError("rule", "{problem}", {"problem": problem})
        return self

    def _contradiction(self) -> str | None:
        ids: dict[str, Number | None] = {"id": self.id, "ar_content_id": self.ar_content_id}
        target: dict[str, object] = {"company": self.company, "kind": self.kind, **ids}
        if self.bucket is not None and self.bucket_pattern is not None:
            return "bucket and bucket_pattern exclude each other"
        if self.skip:
            given = [name for name, value in target.items() if value is not None]
            given += [name for name in ("lookup", "deletions") if getattr(self, name)]
            return f"{given[0]} has no effect with skip" if given else None
        if self.lookup:
            given = [name for name, value in ids.items() if value is not None]
            return f"{given[0]} has no effect with lookup, which finds it" if given else None
        needed = ["company", "kind", "id"] + (["ar_content_id"] if self.kind is MediaKind.VIDEO else [])
        missing = [name for name in needed if target[name] is None]
        if missing:
            return f"{missing[0]} is needed, unless skip or lookup is true"
        known = self._groups()
        used = {name for value in target.values() if isinstance(value, str) for name in _NAME.findall(value)}
        unknown = sorted(used - known)
        return f"{{{unknown[0]}}} is no named group of its patterns" if unknown else None

    def _groups(self) -> set[str]:
        patterns = [re.compile(pattern) for pattern in (self.bucket_pattern, self.pattern) if pattern is not None]
        return {name for pattern in patterns for name in pattern.groupindex} | set(self.metadata)


@dataclass(frozen=True)
class Target:
    """The row that a rule names; `kind` is the media's."""

    company_id: int
    kind: MediaKind
    id: int
    ar_content_id: int


@dataclass(frozen=True)
class Match:
    """The first rule that matches an object, by its number from 1, with its groups; `key` is the media's in its storage."""

    number: int
    rule: Rule
    key: str
    groups: Mapping[str, str]

    @property
    def company_id(self) -> int | None:
        """Return the company that the rule names, None where a look-up finds it. Raises UnplacedError."""
        return None if self.rule.company is None else self.number_for("company", self.rule.company)

    def target(self) -> Target:
        """Return the row that the rule names without a look-up. Raises UnplacedError."""
        rule = self.rule
        if rule.company is None or rule.kind is None or rule.id is None:
            raise AssertionError("a rule without a look-up names all of them")
        media_id = self.number_for("id", rule.id)
        content = media_id if rule.ar_content_id is None else self.number_for("ar_content_id", rule.ar_content_id)
        return Target(self.number_for("company", rule.company), rule.kind, media_id, content)

    def number_for(self, name: str, template: Number) -> int:
        """Return the id that a template makes. Raises UnplacedError."""
        text = _NAME.sub(lambda found: self.groups.get(found[1], ""), str(template))
        if not (text.isascii() and text.isdigit() and len(text.lstrip("0")) <= _DIGITS and int(text) > 0):
            raise UnplacedError(f"Rule {self.number} makes {text[:40]!r} of the key, which is no number for {name}.")
        return int(text)


@dataclass(frozen=True)
class IngestRules:
    """All rules, in their order."""

    rules: tuple[Rule, ...]

    @property
    def look_up(self) -> bool:
        """Return whether any rule needs the database."""
        return any(rule.lookup for rule in self.rules)

    def find(self, bucket: str, key: str, metadata: Mapping[str, str] = NO_METADATA) -> Match | None:
        """Return the first rule that matches; None without any. `metadata` is that of an upload by tusd."""
        for number, rule in enumerate(self.rules, start=1):
            said = {name: metadata[name] for name in rule.metadata if name in metadata}
            if len(said) < len(set(rule.metadata)):
                continue
            base = f"{rule.base_path}/" if rule.base_path else ""
            if not (key.startswith(rule.prefix) and key.startswith(base)) or rule.bucket not in (None, bucket):
                continue
            of_bucket = re.fullmatch(rule.bucket_pattern or ".*", bucket)
            of_key = re.fullmatch(rule.pattern or ".*", key, re.DOTALL)
            if of_bucket is not None and of_key is not None:
                groups = said | of_bucket.groupdict("") | of_key.groupdict("")
                return Match(number, rule, key.removeprefix(base), groups)
        return None

    def problems_with(self, metadata: Mapping[str, str]) -> list[str]:
        """Return why no rule can be for an upload that is to come, a sentence each; nothing where one may be.

        Its key is not known yet, so only what the rules ask of its metadata counts.
        """
        problems: list[str] = []
        for number, rule in enumerate(self.rules, start=1):
            if rule.skip:
                continue
            found = [
                f"Rule {number} needs metadata {name}, and the upload has none."
                for name in rule.metadata
                if name not in metadata
            ]
            if not found and rule.metadata and not rule.lookup:
                found = _problems_of_ids(Match(number, rule, "", metadata))
            if not found:
                return []
            problems += found
        return problems


def _problems_of_ids(match: Match) -> list[str]:
    """Return what is wrong with ids that are made of metadata alone."""
    rule, problems = match.rule, []
    for name, template in (("company", rule.company), ("id", rule.id), ("ar_content_id", rule.ar_content_id)):
        names = _NAME.findall(str(template)) if template is not None else []
        if template is None or not names or not set(names) <= set(rule.metadata):
            continue
        try:
            match.number_for(name, template)
        except UnplacedError as exc:
            problems.append(str(exc))
    return problems


def is_ours(key: str) -> bool:
    """Return whether a worker wrote the object: its events would come back here, and its thumbnails would get thumbnails."""
    return _OUR_THUMBNAILS.search(key) is not None or _PROBES.search(key) is not None


def read_rules(path: Path) -> IngestRules:
    """Return the rules of a file. Raises RulesError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise RulesError(f"{path} cannot be read: {reason}.") from exc
    try:
        return parse_rules(text)
    except RulesError as exc:
        raise RulesError(f"{path}: {exc}") from exc


def parse_rules(text: str) -> IngestRules:
    """Return the rules of a file's text. Raises RulesError."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise RulesError(f"it is no TOML: {exc}.") from exc
    tables = said.get("rules")
    if set(said) != {"rules"} or not isinstance(tables, list) or not tables:
        raise RulesError("it must have one table [[rules]] or more, and nothing else.")
    return IngestRules(tuple(_rule(number, table) for number, table in enumerate(tables, start=1)))


def _rule(number: int, table: Any) -> Rule:
    try:
        return Rule.model_validate(table)
    except ValidationError as exc:
        found = exc.errors(include_url=False)[0]
        if found["type"] in ("rule", "pattern"):
            where = "".join(f"{part}: " for part in found["loc"])
            raise RulesError(f"rule {number}: {where}{found['msg']}.") from exc
        raise RulesError(f"rule {number}: {faults_in(exc)[0].message}") from exc
