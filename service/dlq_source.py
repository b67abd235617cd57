"""The dead letters that a command is about; apart, so that its options load no library of Kafka."""

from enum import StrEnum


class DlqSource(StrEnum):
    """Which dead letters: of the worker, of the persist role, or parked ones."""

    UPLOADS = "uploads"
    READY = "ready"
    PARKED = "parked"
