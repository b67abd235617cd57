"""A wrong argument, file, folder, right or setting is one sentence that says what to do: never a traceback."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.cli.main import main
from tests.doubles.clips import clip
from tests.unit.processors.selection.test_choice import busy

NOWHERE = "127.0.0.1:9"
MAX_BYTES = 1200
"""Of what a command says: a sentence or two, or Typer's own box about options."""


@dataclass(frozen=True)
class Case:
    """Arguments and environment that are wrong, and what is said of them."""

    arguments: tuple[str | bytes, ...]
    says: str
    code: int = 1
    environment: dict[str, str] | None = None


MAKE = ("make", "photo.png", "--out", "thumbs")
CASES: dict[str, Case] = {
    # Files and folders
    "a missing file": Case(("make", "nowhere.png", "--out", "thumbs"), "nowhere.png: No such file or directory."),
    "no files at all": Case(("make", "--out", "thumbs"), "Missing argument", 2),
    "an empty folder": Case(("make", "empty", "--out", "thumbs"), "No video or picture is in empty.", 1),
    "a glob that fits nothing": Case(("make", "*.avi", "--out", "thumbs"), "Nothing fits *.avi.", 1),
    "a FIFO": Case(("make", "pipe", "--out", "thumbs"), "pipe is not a file."),
    "a name that is not UTF-8": Case(("make", b"\xff\xfe.png", "--out", "thumbs"), "No such file or directory."),
    "a name that is too long": Case(("make", "x" * 300, "--out", "thumbs"), "File name too long."),
    "a name with a NUL's look": Case(("make", "\udcff", "--out", "thumbs"), "No such file or directory."),
    "a link to itself": Case(("make", "loop", "--out", "thumbs"), "Too many levels of symbolic links."),
    "an option's look": Case(("make", "-dash.png", "--out", "thumbs"), "No such option: -d", 2),
    "--out is a file": Case(("make", "photo.png", "--out", "notes.txt"), "notes.txt is a file: --out takes a folder."),
    "--out below a file": Case(("make", "photo.png", "--out", "notes.txt/x"), "notes.txt/x: Not a directory."),
    "--out in /proc": Case(("make", "photo.png", "--out", "/proc/none"), "/proc/none: No such file or directory."),
    "wrong sizes": Case((*MAKE, "--sizes", "big"), "'big' is no rendition", 2),
    "sizes of nothing": Case((*MAKE, "--sizes", "a:0x0"), "has a side that is not from 1 to 4096", 2),
    "an unknown format": Case((*MAKE, "--format", "gif"), "gif", 2),
    "a quality of 101": Case((*MAKE, "--quality", "101"), "'--quality'", 2),
    "a quality that is a word": Case((*MAKE, "--quality", "best"), "'--quality'", 2),
    "a sheet in a missing folder": Case((*MAKE, "--sheet", "none/x.html"), "none/x.html: No such file or directory."),
    "a sheet that is a folder": Case((*MAKE, "--sheet", "empty.html"), "empty.html: Is a directory."),
    "a sheet of another kind": Case((*MAKE, "--sheet", "x.gif"), "give a name that ends in .html", 2),
    "no --out": Case(("make", "photo.png"), "--out", 2),
    # The database
    "a URL that is a word": Case(("db", "upgrade"), "DATABASE_URL cannot be read", 1, {"DATABASE_URL": "foo"}),
    "an empty scheme": Case(("db", "upgrade"), "DATABASE_URL cannot be read", 1, {"DATABASE_URL": "://"}),
    "another kind of database": Case(
        ("db", "upgrade"), "no database of this service", 1, {"DATABASE_URL": "mysql://u:hunter2@h/d"}
    ),
    "a database's port of 99999": Case(
        ("db", "upgrade"), "DATABASE_URL", 1, {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:99999/d"}
    ),
    "a database's port that is a word": Case(
        ("company", "list"), "DATABASE_URL cannot be read", 1, {"DATABASE_URL": "postgresql://u:hunter2@h:port/d"}
    ),
    "a database by IPv6 at a closed port": Case(
        ("company", "list"), "The database", 1, {"DATABASE_URL": "postgresql://u:hunter2@[::1]:9/d"}
    ),
    "a half of IPv6": Case(("company", "list"), "DATABASE_URL", 1, {"DATABASE_URL": "postgresql://u:hunter2@[::1/d"}),
    "a closed port": Case(
        ("db", "upgrade"), "The database", 1, {"DATABASE_URL": f"postgresql://u:hunter2@{NOWHERE}/d"}
    ),
    "an unknown host": Case(
        ("db", "upgrade"), "The database", 1, {"DATABASE_URL": "postgresql://u:hunter2@h.invalid/d"}
    ),
    "a database that is a folder": Case(("company", "list"), "The database", 1, {"DATABASE_URL": "sqlite:///empty"}),
    "a database in a missing folder": Case(
        ("company", "list"), "The database", 1, {"DATABASE_URL": "sqlite:///no/x.db"}
    ),
    "a database that is a text": Case(
        ("company", "list"), "not a database", 1, {"DATABASE_URL": "sqlite:///notes.txt"}
    ),
    "a database without tables": Case(
        ("company", "list"), "thumbnails db upgrade", 1, {"DATABASE_URL": "sqlite:///x.db"}
    ),
    "a URL that is not UTF-8": Case(
        ("company", "list"), "is not UTF-8 text", 2, {"DATABASE_URL": "postgresql://u\udcff:hunter2@127.0.0.1:9/d"}
    ),
    # Kafka
    "no broker": Case(("topics", "list"), f"No Kafka broker answers at {NOWHERE}"),
    "a broker with a scheme": Case(
        ("topics", "list"), "write HOST:PORT", 2, {"KAFKA_BOOTSTRAP_SERVERS": f"kafka://{NOWHERE}"}
    ),
    "a broker at port 99999": Case(("topics", "list"), "99999", 2, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:99999"}),
    "a broker's port that is a word": Case(
        ("topics", "list"), "kafka:port", 2, {"KAFKA_BOOTSTRAP_SERVERS": "kafka:port"}
    ),
    "no broker by IPv6": Case(
        ("topics", "list"), "No Kafka broker answers at [::1]:9", 1, {"KAFKA_BOOTSTRAP_SERVERS": "[::1]:9"}
    ),
    "half of IPv6": Case(("topics", "list"), "[::1", 2, {"KAFKA_BOOTSTRAP_SERVERS": "[::1:9"}),
    "a broker that is nothing": Case(
        ("topics", "list"), "KAFKA_BOOTSTRAP_SERVERS", 2, {"KAFKA_BOOTSTRAP_SERVERS": " , "}
    ),
    "an unknown protocol": Case(("topics", "list"), "KAFKA_SECURITY_PROTOCOL", 2, {"KAFKA_SECURITY_PROTOCOL": "TLS"}),
    "a prefix that no topic has": Case(("topics", "list"), "KAFKA_TOPIC_PREFIX", 2, {"KAFKA_TOPIC_PREFIX": "a b/"}),
    "a CA file that is not there": Case(
        ("topics", "list"),
        "no.pem",
        1,
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "no.pem"},
    ),
    # Publishing and following
    "neither file nor event": Case(("publish",), "Give either files or --event JSON.", 2),
    "both file and event": Case(("publish", "photo.png", "--event", "{}"), "Give either files or --event JSON.", 2),
    "an event that is no JSON": Case(("publish", "--event", "{"), "event.malformed"),
    "an event that is a folder": Case(("publish", "--event", "@empty"), "empty: Is a directory."),
    "an event that is not UTF-8": Case(("publish", "--event", b"\xff"), "event.malformed"),
    "an event in a missing file": Case(("publish", "--event", "@no.json"), "no.json: No such file or directory."),
    "an upload that is missing": Case(
        ("publish", "no.mp4"), "no.mp4: No such file or directory. Nothing was published."
    ),
    "following nothing": Case(("follow",), "Missing argument", 2),
    "following without a broker": Case(("follow", "video:1"), f"No Kafka broker answers at {NOWHERE}"),
    "following with a wrong time": Case(("follow", "video:1", "--since", "soon"), "soon", 2),
    "following for no time": Case(("follow", "video:1", "--timeout", "-1"), "'--timeout'", 2),
    # Settings
    "a number that is a word": Case(MAKE, "DECODE_SLOTS: ", 2, {"DECODE_SLOTS": "many"}),
    "a number out of its range": Case(("company", "list"), "WORKER_CONCURRENCY: ", 2, {"WORKER_CONCURRENCY": "0"}),
    "port 99999": Case(("company", "list"), "HTTP_PORT: ", 2, {"HTTP_PORT": "99999"}),
    "storage that is a file": Case(("check",), "notes.txt", 1, {"LOCAL_STORAGE_ROOT": "notes.txt"}),
    "storage in /proc": Case(("check",), "/proc/none", 1, {"LOCAL_STORAGE_ROOT": "/proc/none"}),
    "an address of another kind": Case(("serve-local",), "LOCAL_STORAGE_URL", 2, {"LOCAL_STORAGE_URL": "ftp://x/y"}),
    "an address with port 99999": Case(
        ("serve-local",), "LOCAL_STORAGE_URL", 2, {"LOCAL_STORAGE_URL": "http://h:99999/"}
    ),
    "an address on no host": Case(("serve-local", "--host", "h.invalid", "--port", "0"), "h.invalid"),
    "a wrong key": Case(("credentials", "encrypt"), "STORAGE_CREDENTIALS_KEY", 1, {"STORAGE_CREDENTIALS_KEY": "short"}),
    # The rest
    "an unknown command": Case(("publsh",), "No such command 'publsh'. Did you mean 'publish', 'republish'?", 2),
    "an unknown command of a group": Case(("topics", "lst"), "list", 2),
    "an unknown command of dlq": Case(("dlq", "shw"), "show", 2),
    "an unknown option": Case(("check", "--tenant"), "--tenants", 2),
    "a position that is none": Case(("dlq", "show", "x"), "give PARTITION:OFFSET", 2),
    "health of a port of 99999": Case(("health", "--port", "99999"), "'--port'", 2),
    "health of nothing": Case(("health", "--port", "1"), "1"),
    "metrics at no address": Case(
        ("status", "--once"), "No Kafka broker", 1, {"STATUS_METRICS_URLS": "::::,http://[::1"}
    ),
    "schemas below a file": Case(("schemas", "export", "--out", "notes.txt"), "notes.txt"),
    "purging by no export": Case(("dlq", "purge", "--exported", "no.jsonl"), "no.jsonl is not a file"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one of everything, and no setting of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if re.match(r"(KAFKA|DATABASE|LOCAL_STORAGE|DECODE|THUMBNAIL|HTTP|WORKER|STORAGE)_", name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOWHERE)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///ready.db")
    monkeypatch.setenv("DECODE_SLOTS", "1")
    monkeypatch.setattr("service.kafka.connection.CONNECT_TIMEOUT_S", 0.5)
    (tmp_path / "photo.png").write_bytes(clip([busy(0)] * 2))
    (tmp_path / "notes.txt").write_text("dear diary")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.html").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def run(capfd: pytest.CaptureFixture[str], *arguments: str | bytes) -> tuple[int, str]:
    """The exit code, and what is said."""
    before = sys.argv
    sys.argv = ["thumbnails", *map(os.fsdecode, arguments)]
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    said = capfd.readouterr()
    assert isinstance(code, int)
    return code, re.sub(r"[│╭╮╰╯─\s]+", " ", said.out + said.err)


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_one_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = CASES[name]
    for variable, value in (case.environment or {}).items():
        monkeypatch.setenv(variable, value)
    code, said = run(capfd, *case.arguments)
    assert case.says in said
    assert code == case.code
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert len(said.encode(errors="replace")) < MAX_BYTES, said
