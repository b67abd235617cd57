"""How large an installation is, and its brokers."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from tests.campaign.chaos.uploads import GLOBEX, HOOLI
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.kafka.cluster import BROKERS, three_brokers


class NoClusterError(Exception):
    """The installation cannot be set up; the message says why."""


@dataclass(frozen=True)
class Layout:
    """So many processes of each role; one broker, or three; the companies beside the first, whose storage is a bucket.

    With `has_pooler`, each second process of a role reaches the database through PgBouncer.
    """

    roles: Mapping[str, int] = field(default_factory=lambda: {"worker": 3, "persist": 2, "retry": 1})
    brokers: int = 1
    bucket_companies: tuple[int, ...] = (GLOBEX,)
    has_pooler: bool = False


PLAIN: Final = Layout()
WHOLE: Final = Layout(brokers=BROKERS, bucket_companies=(GLOBEX, HOOLI), has_pooler=True)
SMALL: Final = Layout({"worker": 2, "persist": 1, "retry": 1}, bucket_companies=(GLOBEX, HOOLI), has_pooler=True)


def the_brokers(stack: ExitStack, count: int) -> tuple[ApacheKafka, ...]:
    """They run until `stack` is unwound; the first one is the controller, too. Raises NoKafkaError."""
    if count == BROKERS:
        return stack.enter_context(three_brokers()).brokers
    kafka = ApacheKafka()
    stack.callback(kafka.stop)
    kafka.start()
    return (kafka,)
