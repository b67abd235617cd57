"""`thumbnails ingest …`: uploads from what others announce, and a look at what the rules make of an object."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.loading import loading
from service.exits import EXIT_FAILED, EXIT_USAGE, fail

ingest_app = typer.Typer(no_args_is_help=True, help="Make uploads of what others announce: see docs/upstreams.md.")


@ingest_app.command("s3")
def s3() -> None:
    """Run the ingest role: bucket notifications in, uploads and deletions out. Example: INGEST_RULES=rules.toml thumbnails ingest s3."""
    with loading():
        from service.roles.run import run_ingest_role
        from service.settings import Settings

    raise typer.Exit(run_ingest_role(Settings()))


@ingest_app.command("http")
def http() -> None:
    """Run the ingest port: events and hooks of tusd by HTTP in, uploads and deletions out.

    Example: INGEST_HTTP_TOKENS=$(openssl rand -hex 16) thumbnails ingest http.
    """
    with loading():
        from service.roles.run import run_ingest_http_role
        from service.settings import Settings

    raise typer.Exit(run_ingest_http_role(Settings()))


@ingest_app.command("rules")
def rules(
    objects: Annotated[list[str], typer.Argument(metavar="BUCKET/KEY...", help="Objects as the bucket names them.")],
    path: Annotated[
        Path | None, typer.Option("--rules", help="File of the rules, instead of INGEST_RULES.", show_default=False)
    ] = None,
) -> None:
    """Show what the rules make of objects, one JSON object each. Example: thumbnails ingest rules acme-media/acme/uploads/42.mp4."""
    with loading():
        from service.settings import IngestSettings
        from streams.ingest.rules import RulesError, read_rules

    chosen = path or IngestSettings().ingest_rules
    if chosen is None:
        fail("Give the file of the rules with --rules, or by INGEST_RULES.", code=EXIT_USAGE)
    try:
        found = read_rules(chosen)
    except RulesError as exc:
        fail(str(exc))
    results = [_explained(found, name) for name in objects]
    for result in results:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    raise typer.Exit(EXIT_FAILED if any("problem" in result for result in results) else 0)


def _explained(found: Any, name: str) -> dict[str, object]:
    """Return what becomes of one object that is created."""
    from streams.ingest.rules import UnplacedError, is_ours

    bucket, _, key = name.partition("/")
    said: dict[str, object] = {"bucket": bucket, "key": key}
    if is_ours(key):
        return said | {"skip": True, "why": "It is our own thumbnail."}
    match = found.find(bucket, key)
    if match is None:
        return said | {"rule": None, "problem": "No rule is for it."}
    said |= {"rule": match.number, "media_key": match.key}
    if match.rule.skip:
        return said | {"skip": True}
    try:
        if match.rule.lookup:
            kind = match.rule.kind
            return said | {
                "lookup": match.key,
                "company": match.company_id,
                "kind": None if kind is None else str(kind),
            }
        target = match.target()
    except UnplacedError as exc:
        return said | {"problem": str(exc)}
    ids = {"id": target.id, "ar_content_id": target.ar_content_id}
    return said | {"company": target.company_id, "kind": str(target.kind), **ids, "deletions": match.rule.deletions}
