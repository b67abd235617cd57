"""Brokers of a cluster of three fail while everything runs: nothing is lost, and no role needs help.

`make broker-faults` makes the same faults for longer, and the others: docs/fault-campaign/broker-faults.md.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.demo.broker import NoKafkaError
from tests.campaign.brokers.faults import FAULTS
from tests.campaign.brokers.installation import an_installation
from tests.campaign.brokers.trial import Pace, Trial
from tests.conftest import missing
from tests.servers import postgres as postgres_service

pytestmark = [pytest.mark.timed, pytest.mark.slow]

QUICK = Pace(before_s=1.5, after_s=1.0)


@pytest.fixture(scope="module")
def trial(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """One installation for all faults: each begins when the one before is repaired, and all uploads are done."""
    folder: Path = tmp_path_factory.mktemp("brokers")
    url = postgres_service.new_database(postgres_server)
    try:
        with an_installation(folder, url) as installation:
            yield Trial(installation, QUICK, lambda _line: None)
    except NoKafkaError as exc:
        missing(str(exc))
    finally:
        postgres_service.drop_database(postgres_server, url)


@pytest.mark.parametrize(
    ("name", "held_s"),
    [
        ("worker-coordinator-killed", 0.0),
        ("too-few-replicas", 8.0),
        ("persist-offsets-gone", 0.0),
        ("rolling-restart", 0.0),
    ],
)
def test_each_upload_is_ready_once_more_and_no_role_ends(name: str, held_s: float, trial: Trial) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    done = trial.run(replace(fault, held_s=held_s))
    assert done.problems == []
    assert done.acknowledged > 0
    assert done.lost == 0
