"""The Faust app of the worker: the settings that lost no event in the chaos trials."""

from typing import Final

import faust
from yarl import URL

from schemas.topics import CARRIER_BYTES
from streams.kafka.ports import METADATA_REFRESH_MS
from streams.worker.faust.assignor import EvenAssignor
from streams.worker.options import WorkerOptions

_NO_URL: Final = "http://worker"
"""Stands in the members' messages, for web pages that we do not have. It holds no host name: a static member that comes back on
another host gets the share that was made for its predecessor, and refuses one of another address."""


class App(faust.App):
    """Faust's app without the folders that it makes for tables: we keep none, and the working folder may be read-only."""

    def _create_directories(self) -> None:
        """Create none."""


def build_app(options: WorkerOptions) -> faust.App:
    """Return a Faust app with the settings that lost no event in the chaos trials; it connects when it is started."""
    per_poll = max(2, 2 * options.concurrency)
    return App(
        options.group,
        broker=[f"kafka://{server}" for server in options.bootstrap_servers.split(",")],
        broker_credentials=options.credentials,
        broker_client_id=options.client_id,
        canonical_url=URL(_NO_URL),
        consumer_group_instance_id=options.instance_id,
        version=1,  # never raised: it renames the consumer group
        autodiscover=False,
        PartitionAssignor=EvenAssignor,
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=262_144,
        consumer_metadata_max_age_ms=METADATA_REFRESH_MS,
        stream_wait_empty=True,
        stream_buffer_maxsize=max(16, 5 * per_poll),
        broker_max_poll_records=per_poll,
        broker_max_poll_interval=2_000_000.0,  # an idle standby would leave the group for good otherwise
        broker_commit_interval=options.commit_interval_s,
        broker_session_timeout=options.session_timeout_s,
        broker_heartbeat_interval=options.heartbeat_s,
        broker_rebalance_timeout=options.rebalance_timeout_s,
        broker_request_timeout=max(90.0, options.session_timeout_s),
        producer_acks=-1,
        producer_metadata_max_age_ms=METADATA_REFRESH_MS,
        producer_request_timeout=30.0,
        producer_max_request_size=CARRIER_BYTES,  # a dead letter holds the original bytes, of any allowed size
        key_serializer="raw",
        value_serializer="raw",
    )
