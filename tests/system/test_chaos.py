"""A small fault campaign: the program runs, finds nothing, says what it did, and leaves nothing behind."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.servers.kafka import apache
from tests.servers.pgbouncer import find_pgbouncer
from tests.servers.postgres import system_binaries
from tests.servers.s3.minio import MINIO
from tests.servers.toxiproxy import TOXIPROXY

KINDS = "kill-worker,kill-persist,add-partitions,s3-reset,read-only-database,replay"


@pytest.mark.slow
def test_a_small_campaign_loses_nothing(tmp_path: Path) -> None:
    programs = (MINIO.can_be_had(), TOXIPROXY.can_be_had(), find_pgbouncer() is not None)
    if not (apache.can_run() and system_binaries() and all(programs)):
        missing(
            "No fault campaign: it needs Apache Kafka's jars, PostgreSQL, PgBouncer, MinIO and Toxiproxy of this machine's own."
        )
    figures, text = tmp_path / "figures.json", tmp_path / "report.md"
    command = [sys.executable, "-m", "tests.campaign.chaos", "--seed", "5", "--uploads", "60", "--faults", "6"]
    command += ["--small", "--kinds", KINDS, "--minutes", "2", "--json", str(figures), "--report", str(text)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=160)
    finally:
        process.terminate()  # no harm when it has ended; else it takes all that it started along
        process.wait(15)
    assert process.returncode == 0, output

    found = json.loads(figures.read_text())
    assert found["findings"] == []
    assert found["uploads"]["published"] == 60
    assert found["faults"]["hit"] == 6
    assert set(found["faults"]["by_kind"]) == set(KINDS.split(","))
    assert found["counts"]["objects whose picture was compared"] > 60
    assert found["plan_digest"] in output
    assert "make chaos SEED=5 UPLOADS=60" in text.read_text()
    assert not list(Path(tempfile.gettempdir()).glob(f"thumbnails-*-{process.pid}-*"))
