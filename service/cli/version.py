"""`thumbnails --version`: this release, and the libraries that decide what it can read and reach."""

import platform
import sys
from typing import Annotated, Final

import typer

from service.exits import EXIT_OK

_PACKAGE: Final = "thumbnail-pipeline"
_CONFLUENT: Final = "confluent-kafka"
_OPENCV: Final = "opencv-python-headless"
_PILLOW: Final = "pillow"


def version(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=lambda wanted: _show(wanted=wanted), help="Show versions."),
    ] = False,
) -> None:
    """Accept options that stand before a command."""


def _show(*, wanted: bool) -> None:
    if not wanted:
        return
    lines = [f"thumbnails {_installed(_PACKAGE)}", f"Python {platform.python_version()}"]
    # What comes with these libraries is known only when they are loaded, which no other command waits for.
    for look in (_ffmpeg, _opencv, _pillow, _librdkafka):
        try:
            lines.append(look())
        except ImportError as exc:
            lines.append(f"{look.__name__.removeprefix('_')} cannot be loaded: {exc}")
    lines += [f"{name} {_installed(name)}" for name in ("faust-streaming", "aiokafka", "SQLAlchemy", "resvg-py")]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    raise typer.Exit(EXIT_OK)


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return version_of(package)
    except PackageNotFoundError:
        return "not installed"


def _ffmpeg() -> str:
    import av

    return f"FFmpeg {av.ffmpeg_version_info} (PyAV {av.__version__})"


def _opencv() -> str:
    return f"OpenCV {_installed(_OPENCV)}"  # its package has its version, and NumPy takes as long as all else here


def _pillow() -> str:
    from PIL import features

    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "webp", "avif") if features.check(name)]
    return f"Pillow {_installed(_PILLOW)} ({', '.join(codecs)})"


def _librdkafka() -> str:
    from service.kafka.librdkafka import librdkafka_version

    return f"librdkafka {librdkafka_version()} (confluent-kafka {_installed(_CONFLUENT)})"
