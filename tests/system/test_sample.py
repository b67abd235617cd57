"""`thumbnails sample`, which `make up` runs at each start: it ends with a picture that is there, and is made once."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.system.stack import Stack, a_stack, run_cli, run_cli_here, settings_for

FAILED = "UPDATE videos SET thumbnail_status = 'failed', thumbnail_error = 'media.corrupt: x', thumbnail_url = NULL"
NEVER_ANNOUNCED = "UPDATE videos SET thumbnail_status = NULL, thumbnail_occurred_at = NULL, thumbnail_event_id = NULL"


@pytest.fixture(scope="module")
def stack(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("sample")
    with a_stack(kafka, f"sqlite:///{folder / 'platform.db'}", f"t-{uuid.uuid4().hex[:8]}.", folder) as made:
        # The platform of the tests has a company, and an installation that has one gets no sample.
        for table in ("projects", "companies"):
            change(made, f"DELETE FROM {table}")  # noqa: S608 - one of two names
        yield made


def sample(stack: Stack, *arguments: str) -> str:
    done = run_cli(stack.environment, "sample", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def picture_at(stack: Stack, url: str) -> Path:
    """The file that a server of the local storage's folder gives out under the URL."""
    return stack.platform.storage_root / url.removeprefix(f"{stack.environment['LOCAL_STORAGE_URL']}/")


def rows(stack: Stack) -> list[tuple[int, str, str]]:
    """Every video of every company: its id, its company's slug, and the upload that it shows."""
    query = sa.text(
        "SELECT videos.id, companies.slug, videos.thumbnail_event_id FROM videos"
        " JOIN ar_contents ON ar_contents.id = ar_content_id JOIN companies ON companies.id = company_id"
    )
    with stack.platform.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def change(stack: Stack, statement: str) -> None:
    with stack.platform.engine.begin() as connection:
        connection.execute(sa.text(statement))


def test_the_sample_has_a_picture_and_a_second_start_makes_nothing(stack: Stack) -> None:
    url = sample(stack)
    assert picture_at(stack, url).read_bytes()[8:12] == b"WEBP"
    made = rows(stack)
    assert [slug for _, slug, _ in made] == ["sample"]

    assert sample(stack) == url
    assert rows(stack) == made
    assert len(list((stack.platform.storage_root / "sample" / "uploads").iterdir())) == 1


@pytest.mark.parametrize("statement", [FAILED, NEVER_ANNOUNCED], ids=["failed", "never announced"])
def test_a_row_without_a_picture_gets_one_and_is_not_made_twice(stack: Stack, statement: str) -> None:
    sample(stack)
    before = rows(stack)
    change(stack, statement)
    url = sample(stack)
    assert picture_at(stack, url).is_file()
    ((number, slug, event_id),) = rows(stack)
    assert (number, slug) == before[0][:2]
    assert event_id != before[0][2]


def test_a_file_that_cannot_be_read_is_said_with_its_code(stack: Stack) -> None:
    sample(stack)
    (stored,) = (stack.platform.storage_root / "sample" / "uploads").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(b"\0\0\0\x18ftypisom" + bytes(300))
    change(stack, NEVER_ANNOUNCED)
    done = run_cli(stack.environment, "sample")
    stored.write_bytes(whole)
    assert done.returncode == 1
    assert "media.corrupt" in done.stderr
    assert "Traceback" not in done.stderr
    assert sample(stack)


def test_an_installation_with_companies_gets_none_that_nobody_asked_for(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:9", f"sqlite:///{tmp_path / 'x.db'}", "", tmp_path)
    run_cli_here(settings, "db", "upgrade")
    run_cli_here(settings, "company", "add", "Acme")
    done = run_cli(settings, "sample")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "No sample is made: the database has companies already, or a platform adds them.\n"
    assert "sample" not in run_cli(settings, "company", "list").stdout


def test_a_sample_that_nobody_works_on_is_said_in_one_sentence(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = settings_for(kafka, f"sqlite:///{tmp_path / 'x.db'}", topic_prefix, tmp_path)
    run_cli_here(settings, "topics", "create")
    run_cli_here(settings, "db", "upgrade")
    done = run_cli(settings, "sample", "--timeout", "1")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "The sample has no thumbnail after 1 s: `thumbnails status` shows what waits, and why."
    )
