"""How far a group has come, and where partitions begin and end: asked by a consumer that joins no group.

Not by an admin client: one whose requests time out may abort the whole process when the broker is back
(https://github.com/confluentinc/librdkafka/issues/4605).
"""

from collections.abc import Iterable

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from streams.kafka.client import Place


def committed_of(consumer: Consumer, places: Iterable[Place], timeout_s: float) -> dict[Place, int]:
    """What the consumer's own group has committed; without the places where it has committed nothing.

    Raises KafkaException when a broker does not answer in time, or refuses.
    """
    return {
        place: offset
        for place, offset in _offsets(consumer.committed([TopicPartition(*place) for place in places], timeout_s))
        if offset >= 0
    }


def starts_of(consumer: Consumer, places: Iterable[Place], timeout_s: float) -> dict[Place, int]:
    """The first offset of each place. Raises as `committed_of`."""
    return _at(consumer, places, OFFSET_BEGINNING, timeout_s)


def ends_of(consumer: Consumer, places: Iterable[Place], timeout_s: float) -> dict[Place, int]:
    """The offset after the last one of each place that the consumer's isolation level shows. Raises as `committed_of`."""
    return _at(consumer, places, OFFSET_END, timeout_s)


def _at(consumer: Consumer, places: Iterable[Place], moment: int, timeout_s: float) -> dict[Place, int]:
    # As moments, -2 and -1 ask for the ends.
    asked = [TopicPartition(*place, moment) for place in places]
    return dict(_offsets(consumer.offsets_for_times(asked, timeout_s)))


def _offsets(answers: list[TopicPartition]) -> list[tuple[Place, int]]:
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return [((answer.topic, answer.partition), answer.offset) for answer in answers]
