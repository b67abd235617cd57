"""What an error of Kafka means to an operator, whichever client met it: one sentence with a way out."""

from typing import Any, Final

from confluent_kafka import KafkaException

# The numbers are Kafka's own (https://kafka.apache.org/protocol#protocol_error_codes); both clients hand them on.
_MEANINGS: Final = {
    3: "A topic is gone, or no broker answers for it: run `thumbnails topics create`, then `thumbnails check`",
    10: "A record is larger than its topic allows: raise the topic's max.message.bytes, see `thumbnails topics list`",
    19: "Fewer replicas are in sync than the topic's min.insync.replicas asks for: bring the other brokers back",
    20: "Fewer replicas are in sync than the topic's min.insync.replicas asks for: bring the other brokers back",
    29: "The cluster's rules forbid it: let this user READ or WRITE the topic",
    30: "The cluster's rules forbid it: let this user READ the consumer group",
    31: "The cluster's rules forbid it: let this user IDEMPOTENT_WRITE on the cluster",
    58: "The cluster does not accept the login: see KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
}
NO_ANSWER: Final = (
    "Kafka does not acknowledge: its brokers are out of reach, or fewer replicas are in sync than min.insync.replicas"
)


def explain_fault(exc: BaseException) -> str:
    """The sentence, then what the client said."""
    code = _code(exc)
    said = exc.args[0].str() if isinstance(exc, KafkaException) else f"{type(exc).__name__}: {exc}"
    meaning = _MEANINGS.get(code) if code is not None else None
    if meaning is None and (isinstance(exc, TimeoutError) or _is_timeout(exc)):
        meaning = NO_ANSWER
    return f"{meaning} ({said})" if meaning else said


def _code(exc: BaseException) -> int | None:
    """Kafka's number of the error, also when it is wrapped."""
    if isinstance(exc, KafkaException):
        return int(exc.args[0].code())
    number = getattr(exc, "errno", None)
    if isinstance(number, int) and not isinstance(exc, OSError):
        return number
    return _code(exc.__cause__) if exc.__cause__ is not None else None


def _is_timeout(exc: Any) -> bool:
    if isinstance(exc, KafkaException):
        return exc.args[0].name() in ("_MSG_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN")
    return "Timeout" in type(exc).__name__ or "TimedOut" in type(exc).__name__
