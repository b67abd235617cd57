"""Keeps on disk how far a long command is, so that it can be interrupted and go on."""

from pathlib import Path
from typing import Final, Generic, Protocol, Self, TypeVar

from pydantic import ValidationError

from service.whole_files import write_whole


class RunFileError(Exception):
    """A command cannot start or go on; the message says why and what to do."""

    exit_code = 2


class SavedRun(Protocol):
    """A pydantic model with the whole state of a run that sends to `topic`."""

    topic: str

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Self:
        """Read it. Raises ValidationError."""

    def model_dump_json(self, *, indent: int) -> str:
        """Write it."""


R = TypeVar("R", bound=SavedRun)


class RunFile(Generic[R]):
    """Keeps a run on disk: written whole or not at all, after every batch that the broker has."""

    def __init__(self, path: Path, model: type[R], what: str) -> None:
        """`what` is the run's name for people, and that of its command."""
        self.path: Final = path
        self._model: Final = model
        self._what: Final = what

    def load(self, topic: str) -> R:
        """Return the run that was interrupted, which sent to `topic`. Raises RunFileError and OSError."""
        try:
            run = self._model.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise RunFileError(
                f"{self.path} does not exist: no {self._what} was interrupted here. Leave out --resume, or give its --state."
            ) from None
        except ValidationError as exc:
            raise RunFileError(f"{self.path} is not the state of a {self._what}: give another --state.") from exc
        if run.topic != topic:
            raise RunFileError(
                f"{self.path} is the state of a {self._what} to {run.topic}, and not to {topic}: give another --state."
            )
        return run

    def require_none(self) -> None:
        """Return when no run was interrupted here. Raises RunFileError."""
        if self.path.exists():
            raise RunFileError(
                f"{self.path} holds a {self._what} that was interrupted: go on with --resume, give another --state,"
                " or delete the file."
            )

    def save(self, run: R) -> None:
        """Replace the file. Raises OSError."""
        write_whole(self.path, run.model_dump_json(indent=1))

    def remove(self) -> None:
        """Delete the file: the run is through."""
        self.path.unlink(missing_ok=True)
