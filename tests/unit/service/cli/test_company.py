"""`thumbnails company …` on SQLite and on PostgreSQL: rows, refusals of one sentence, exit codes."""

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from schemas.database import create_engine_for
from schemas.migrations import upgrade
from schemas.tables import ar_contents, companies, projects, storage_connections, videos
from service.cli.main import app
from service.cli.text_table import aligned
from service.tenants.values import RowError, WrongValueError, slug_of


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    monkeypatch.setenv("DATABASE_URL", url)
    engine = create_engine_for(url)
    yield engine
    engine.dispose()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["company", *arguments])


def refusal(*arguments: str) -> tuple[str, int]:
    error = run(*arguments).exception
    assert isinstance(error, RowError)
    return str(error), error.exit_code


def add_connection(engine: sa.Engine, name: str, *, is_active: bool = True) -> None:
    with engine.begin() as connection:
        values = {"name": name, "provider": "minio", "credentials": {}, "is_active": is_active}
        connection.execute(sa.insert(storage_connections).values(values))


def add_upload(engine: sa.Engine, company_id: int, kind: str, status: str | None) -> None:
    """A video or a photograph of the company, as the platform writes its row."""
    with engine.begin() as connection:
        project = connection.execute(sa.insert(projects).values(company_id=company_id, name="p")).inserted_primary_key
        assert project is not None
        is_photo = kind == "photograph"
        content = {"project_id": project[0], "company_id": company_id, "unique_id": "u"}
        content |= {"image_path": "a/b.jpg", "thumbnail_status": status} if is_photo else {}
        added = connection.execute(sa.insert(ar_contents).values(content)).inserted_primary_key
        assert added is not None
        if not is_photo:
            connection.execute(sa.insert(videos).values(ar_content_id=added[0], thumbnail_status=status))


def rows_of(engine: sa.Engine) -> list[tuple[object, ...]]:
    columns = companies.c
    with engine.connect() as connection:
        query = sa.select(columns.id, columns.name, columns.slug, columns.storage_path, columns.is_active)
        return [tuple(row) for row in connection.execute(query.order_by(columns.id))]


def test_a_company_is_added_and_listed(database: sa.Engine) -> None:
    empty = run("list")
    assert (empty.stdout, empty.stderr) == ("", "No company exists: `thumbnails company add NAME` adds one.\n")
    added = run("add", " Acmé Studios ")
    assert (added.exit_code, added.output) == (
        0,
        "Company 1 is added: its keys begin with acme-studios/ in local storage.\n",
    )
    run("add", "Ромашка", "--slug", "romashka", "--storage-path", "/tenants/romashka/")
    assert rows_of(database) == [
        (1, "Acmé Studios", "acme-studios", None, True),
        (2, "Ромашка", "romashka", "tenants/romashka", True),
    ]
    assert run("list").output.splitlines() == [
        "id  slug          active  folder            storage  name",
        "1   acme-studios  yes     acme-studios      local    Acmé Studios",
        "2   romashka      yes     tenants/romashka  local    Ромашка",
    ]
    listed = [json.loads(line) for line in run("list", "--json").output.splitlines()]
    assert [(row["id"], row["name"], row["storage_path"]) for row in listed] == [
        (1, "Acmé Studios", None),
        (2, "Ромашка", "tenants/romashka"),
    ]


def test_a_company_is_added_with_its_storage_connection(database: sa.Engine) -> None:
    add_connection(database, "Theirs")
    assert run("add", "Acme", "--connection", "1").output.endswith("keys begin with acme/ in storage connection 1.\n")
    assert run("list").output.splitlines()[1] == "1   acme  yes     acme    1 (minio)  Acme"
    listed = json.loads(run("list", "--json").output)
    assert (listed["storage_connection_id"], listed["storage_connection"], listed["provider"]) == (1, "Theirs", "minio")


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["Acme"], "Company 1 has the slug 'acme': give another one with --slug.", 1),
        (["B", "--storage-path", "acme/b"], "The folder 'acme/b' and the folder 'acme' of company 1 overlap", 1),
        (["B", "--storage-path", "acme"], "overlap in the same storage: give another one with --storage-path.", 1),
        (["B", "--connection", "7"], "No storage connection has the id 7: `thumbnails storage list` shows all.", 1),
        (["!?"], "No slug can be made of the name '!?': give one with --slug.", 2),
        (["B", "--slug", "a/b"], "The slug 'a/b' has a slash: give the folder with --storage-path.", 2),
        (["B", "--slug", ".."], "The slug cannot be used: The key '..' is empty or absolute", 2),
        (["B", "--storage-path", "a/../b"], "The storage path cannot be used: The key 'a/../b' is empty", 2),
        (["B", "--storage-path", "x/" * 300], "The storage path has 599 characters; at most 500 are allowed.", 2),
        ([" "], "A name has 1 to 255 characters, and no control characters.", 2),
        (["a\nb"], "A name has 1 to 255 characters, and no control characters.", 2),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    database: sa.Engine, arguments: list[str], sentence: str, code: int
) -> None:
    assert run("add", "Acme").exit_code == 0
    said, exit_code = refusal("add", *arguments)
    assert sentence in said
    assert "\n" not in said
    assert exit_code == code
    assert len(rows_of(database)) == 1


def test_a_company_is_found_by_its_id_its_slug_and_its_name(database: sa.Engine) -> None:
    run("add", "Acme Studios", "--slug", "acme")
    run("add", "Twins", "--slug", "7")
    run("add", "Twins", "--slug", "b")
    assert [row[2] for row in rows_of(database)] == ["acme", "7", "b"]
    for given in ("1", "acme", "Acme Studios"):
        assert run("show", given).stdout.splitlines()[0] == "id           1"
    assert json.loads(run("show", "7", "--json").stdout)["id"] == 2, "no id, but a slug"
    assert json.loads(run("show", "3", "--json").stdout)["slug"] == "b"
    assert refusal("show", "Twins") == ("Several companies have the name 'Twins': give one of the ids 2, 3.", 1)


def test_a_company_is_shown_with_its_storage_and_its_media(database: sa.Engine) -> None:
    add_connection(database, "Theirs")
    run("add", "Acme", "--connection", "Theirs")
    for kind, status in (("video", "ready"), ("video", "ready"), ("video", None), ("photograph", "failed")):
        add_upload(database, 1, kind, status)
    assert run("show", "acme").stdout.splitlines() == [
        "id           1",
        "name         Acme",
        "slug         acme",
        "active       yes",
        "storage      1 (minio), Theirs",
        "folder       acme",
        "videos       3 (1 none, 2 ready)",
        "photographs  1 (1 failed)",
    ]
    shown = json.loads(run("show", "acme", "--json").stdout)
    assert shown["media"] == {"videos": {"none": 1, "ready": 2}, "photographs": {"failed": 1}}
    with database.begin() as connection:
        connection.execute(sa.update(storage_connections).values(is_active=False))
    assert "storage      1 (minio), Theirs: not active, so that local storage is used" in run("show", "1").stdout


def test_what_is_set_is_changed_and_the_rest_stays(database: sa.Engine) -> None:
    run("add", "Acme", "--slug", "acme")
    add_connection(database, "Theirs")
    said = run("set", "acme", "--name", "Acme & Co.", "--connection", "Theirs")
    assert said.stdout == (
        "Company 1 is changed: its keys begin with acme/ in storage connection 1. Workers know it within 10 s.\n"
    )
    assert rows_of(database) == [(1, "Acme & Co.", "acme", None, True)]
    assert "uploads get no thumbnails" in run("set", "1", "--inactive").stdout
    assert rows_of(database) == [(1, "Acme & Co.", "acme", None, False)]
    run("set", "1", "--active", "--connection", "none", "--storage-path", "/tenants/acme/")
    assert rows_of(database) == [(1, "Acme & Co.", "acme", "tenants/acme", True)]
    assert json.loads(run("show", "1", "--json").stdout)["storage_connection_id"] is None
    run("set", "1", "--storage-path", "")
    assert rows_of(database) == [(1, "Acme & Co.", "acme", None, True)]


def test_a_new_slug_moves_no_object(database: sa.Engine) -> None:
    run("add", "Acme")
    add_upload(database, 1, "video", "ready")
    assert "its keys begin with acme/ in local storage" in run("set", "acme", "--slug", "acme-studios").stdout
    assert rows_of(database) == [(1, "Acme", "acme-studios", "acme", True)]


@pytest.mark.parametrize("arguments", [["--storage-path", "elsewhere"], ["--connection", "Theirs"]])
def test_the_place_of_a_company_with_uploads_changes_by_force_only(database: sa.Engine, arguments: list[str]) -> None:
    run("add", "Acme")
    add_connection(database, "Theirs")
    add_upload(database, 1, "video", "ready")
    assert refusal("set", "acme", *arguments) == (
        "Company 1 has 1 uploads in its present storage, below acme/: copy them to the new place, and then give --force.",
        1,
    )
    before = json.loads(run("show", "acme", "--json").stdout)
    assert (before["storage_path"], before["storage_connection_id"]) == (None, None)
    assert run("set", "acme", *arguments, "--force").exit_code == 0
    after = json.loads(run("show", "acme", "--json").stdout)
    assert (after["storage_path"], after["storage_connection_id"]) in (("elsewhere", None), (None, 1))


def test_an_added_company_is_one_json_object_for_a_script(database: sa.Engine) -> None:
    added = json.loads(run("add", "Acme", "--json").stdout)
    assert [(added["id"], added["name"])] == [row[:2] for row in rows_of(database)]


def test_a_folder_beside_another_one_with_the_same_beginning_is_no_overlap(database: sa.Engine) -> None:
    run("add", "Acme")
    run("add", "Acme 2")
    assert [row[2] for row in rows_of(database)] == ["acme", "acme-2"]


@pytest.mark.parametrize("kind", ["sqlite_url", "postgres_url"])
def test_a_database_without_tables_says_what_to_run(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", request.getfixturevalue(kind))
    for arguments in (["add", "Acme"], ["list"]):
        said, code = refusal(*arguments)
        assert "run `thumbnails db upgrade`" in said
        assert code == 1


def test_a_database_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hunter2@127.0.0.1:1/x")
    said, _ = refusal("list")
    assert "DATABASE_URL is right" in said
    assert "hunter2" not in said
    assert "\n" not in said


def test_a_column_that_only_the_platform_fills_is_one_sentence_without_the_row(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE videos"))
        connection.execute(sa.text("DROP TABLE ar_contents"))
        connection.execute(sa.text("DROP TABLE projects"))
        connection.execute(sa.text("DROP TABLE companies"))
        connection.execute(
            sa.text(
                "CREATE TABLE companies (id INTEGER PRIMARY KEY, name VARCHAR(255), slug VARCHAR(255),"
                " storage_path VARCHAR(500), storage_connection_id INTEGER, contact VARCHAR(255) NOT NULL)"
            )
        )
    said, _ = refusal("add", "Acme")
    assert said.endswith("Where a platform owns this table, make the change there.")
    assert "Acme" not in said
    assert "\n" not in said


@pytest.mark.parametrize(("name", "slug"), [("Acme & Co. KG", "acme-co-kg"), ("Ünïted", "united"), ("日本", "")])
def test_a_slug_is_made_of_the_letters_and_digits_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_a_wrong_value_is_wrong_use_of_the_command() -> None:
    assert issubclass(WrongValueError, RowError)


def test_a_table_has_one_line_a_record_whatever_a_name_holds() -> None:
    assert aligned(("id", "name"), [("1", "a\x1b[31m\nb"), ("22", "c" * 300)]) == (
        f"id  name\n1   a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b\n22  {'c' * 300}\n"
    )
