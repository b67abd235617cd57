"""Names this process to the brokers: quotas, request logs and every user interface show `client.id`."""

import socket

_DEFAULT = "cli"
_role = _DEFAULT


def name_process(role: str) -> None:
    """Set what the Kafka clients that this process makes from now on are: one process has one role, or is one command.

    It holds for the process, as its logs do: clients are made in a dozen places, all for the same role.
    """
    global _role
    _role = role


def client_id() -> str:
    """Return `thumbnails-ROLE-HOST`."""
    return f"thumbnails-{_role}-{socket.gethostname()}"
