"""docs/upstreams.md: its rules can be used, its tables are complete, and its connector's settings fit each other."""

import json
import re
from pathlib import Path

from streams.ingest.placing import ChangeOutcome
from streams.ingest.rules import Rule, parse_rules
from tests.documents.pages import ROOT, blocks

PAGE = ROOT / "docs" / "upstreams.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_example_of_rules_can_be_used_and_the_first_is_what_is_deployed() -> None:
    examples = [block.text for block in blocks(PAGE) if block.language == "toml"]
    assert len(examples) == 3
    first, *_ = map(parse_rules, examples)
    assert first == parse_rules(Path(ROOT / "deploy" / "ingest" / "rules.toml").read_text())


def test_the_object_of_the_example_command_has_a_rule() -> None:
    (bucket, key) = re.findall(r"thumbnails ingest rules ([^/\s]+)/(\S+)", TEXT)[0]
    rules = parse_rules(next(block.text for block in blocks(PAGE) if block.language == "toml"))
    assert rules.find(bucket, key) is not None


def test_every_name_that_a_rule_may_have_is_explained() -> None:
    table = TEXT.partition("| name | meaning |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Rule.model_fields)


def test_every_outcome_that_is_counted_is_explained() -> None:
    table = TEXT.partition("### What becomes of a notification")[2].partition("\n###")[0]
    words = set(re.findall(r"`(\w+)`", table)) | {"uploaded", "deleted"}
    assert {str(outcome) for outcome in ChangeOutcome} <= words


def test_the_connector_routes_to_the_topic_with_the_type_as_a_header_and_plain_json() -> None:
    (text,) = [block.text for block in blocks(PAGE) if block.language == "json"]
    config = json.loads(text)["config"]
    assert config["transforms.outbox.route.topic.replacement"] == "media.uploaded"
    assert config["transforms.outbox.table.fields.additional.placement"].endswith(":header:ce_type")
    assert config["value.converter.schemas.enable"] == "false"
    assert config["key.converter"].endswith("StringConverter")
