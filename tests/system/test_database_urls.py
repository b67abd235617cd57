"""Every wrong DATABASE_URL is answered by one sentence, without a traceback and without its password."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.cli.main import main
from tests.system.stack import run_cli, settings_for

PASSWORD = "hunter2"  # noqa: S105 - it is looked for in what is printed
WRITE_IT = "DATABASE_URL cannot be read: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///FILE."
NO_ANSWER = "see that its server runs, and that DATABASE_URL is right ("
WRONG = {
    "no URL": ("foo", WRITE_IT),
    "no scheme": (f"someone:{PASSWORD}@127.0.0.1/x", WRITE_IT),
    "no host": (f"postgresql://someone:{PASSWORD}/x", WRITE_IT),
    "no port": (f"postgresql://someone:{PASSWORD}@127.0.0.1:{PASSWORD}/x", WRITE_IT),
    "a wrong scheme": (f"http://someone:{PASSWORD}@127.0.0.1/x", "DATABASE_URL begins with http://"),
    "another database": (f"mysql://someone:{PASSWORD}@127.0.0.1/x", "DATABASE_URL begins with mysql://"),
    "an @ in the password": (f"postgresql://someone:x@{PASSWORD}@127.0.0.1/x", "write it as %40"),
    "an option that is none": (f"postgresql://someone:{PASSWORD}@127.0.0.1:1/x?ssl=require", 'option "ssl"'),
    "Heroku's scheme, closed port": (f"postgres://someone:{PASSWORD}@127.0.0.1:1/x", NO_ANSWER),
    "a closed port": (f"postgresql://someone:{PASSWORD}@127.0.0.1:1/x", NO_ANSWER),
    "a closed port, with our driver": (f"postgresql+psycopg://someone:{PASSWORD}@127.0.0.1:1/x", NO_ANSWER),
    "a closed port, with another driver": (f"postgresql+asyncpg://someone:{PASSWORD}@localhost:1/x", NO_ANSWER),
    "SQLite in no folder": ("sqlite:////nowhere/at/all.db", "make its folder, and let this user write there ("),
    "SQLite where nobody may write": ("sqlite:////proc/x.db", "make its folder, and let this user write there ("),
    "SQLite with a host": ("sqlite://nowhere/x.db", WRITE_IT),
    "no SQLite file": (f"sqlite:///{__file__}", "not an SQLite database"),
}


@dataclass(frozen=True)
class Answer:
    """How a command ended; the text has no traceback and no password."""

    code: int | str | None
    text: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.text
        assert PASSWORD not in self.text


Upgrade = Callable[[str], Answer]


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Upgrade:
    """Runs `thumbnails db upgrade` with a DATABASE_URL, in this process, which has loaded the libraries already."""

    def run(url: str) -> Answer:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setattr("sys.argv", ["thumbnails", "db", "upgrade"])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Answer(ended.value.code, printed.out + printed.err)

    return run


def assert_one_sentence(answer: Answer, sentence: str) -> None:
    assert answer.code == 1
    assert sentence in answer.text
    assert len(answer.text.splitlines()) == 1
    assert answer.text.endswith(".\n")


@pytest.mark.parametrize("name", WRONG)
def test_an_upgrade_says_in_one_sentence_what_is_wrong(upgrade: Upgrade, name: str) -> None:
    url, sentence = WRONG[name]
    assert_one_sentence(upgrade(url), sentence)


@pytest.mark.parametrize(
    ("command", "name"),
    # Roles wait for a server that is away: test_outages.
    [("check", "no scheme"), ("check", "a closed port"), ("persist", "no scheme"), ("worker", "no scheme")],
)
def test_the_check_and_the_roles_say_the_same(
    kafka: str, topic_prefix: str, tmp_path: Path, command: str, name: str
) -> None:
    url, sentence = WRONG[name]
    done = run_cli(settings_for(kafka, url, topic_prefix, tmp_path), command)
    answer = Answer(done.returncode, done.stdout + done.stderr)
    assert answer.code == 1
    assert sentence in answer.text


def test_an_unknown_database_is_named(upgrade: Upgrade, postgres_url: str) -> None:
    unknown = sa.make_url(postgres_url).set(database="not_there").render_as_string(hide_password=False)
    assert_one_sentence(upgrade(unknown), 'database "not_there" does not exist')


@pytest.fixture
def bytes_url(postgres_server: str) -> Iterator[str]:
    """A database whose encoding is SQL_ASCII, as `initdb` makes it where no locale is set."""
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(sa.text("CREATE DATABASE t_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"))
        yield sa.make_url(postgres_server).set(database="t_bytes").render_as_string(hide_password=False)
        server.execute(sa.text("DROP DATABASE t_bytes WITH (FORCE)"))
    engine.dispose()


def test_a_database_of_bytes_is_refused_before_anything_is_made_in_it(upgrade: Upgrade, bytes_url: str) -> None:
    assert_one_sentence(upgrade(bytes_url), "encoding is SQL_ASCII")


def test_a_database_of_a_later_version_is_left_as_it_is(upgrade: Upgrade, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'later.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE thumbnail_alembic_version (version_num VARCHAR(32))"))
        connection.execute(sa.text("INSERT INTO thumbnail_alembic_version VALUES ('9999')"))
    assert_one_sentence(upgrade(url), "of another version of this service")
    assert sa.inspect(engine).get_table_names() == ["thumbnail_alembic_version"]
    engine.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_postgresql_is_taken_by_every_name_that_platforms_give_it(
    upgrade: Upgrade, postgres_url: str, scheme: str
) -> None:
    answer = upgrade(f"\n{re.sub('^[^:]*', scheme, postgres_url)}\n")  # as files of secrets end
    assert answer == Answer(0, "The database is up to date.\n")


def test_an_empty_url_is_the_default(upgrade: Upgrade, tmp_path: Path) -> None:
    assert upgrade("").code == 0
    assert (tmp_path / "thumbnails.db").exists()
