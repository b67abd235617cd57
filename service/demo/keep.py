"""`thumbnails demo --keep`: the installation runs on, and its user is told how to look at it."""

import importlib.util
import shlex
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from service.demo.stack import DemoError, DemoStack
from service.demo.watch import Journey

ENVIRONMENT_NAME: Final = "environment"


def require_page() -> None:
    """Raise DemoError where the libraries of the page are not installed."""
    if importlib.util.find_spec("starlette") is None:
        raise DemoError(
            "--keep shows the page, which needs the extra `web`: pip install 'thumbnail-pipeline[demo,web]'."
        )


def write_environment(stack: DemoStack) -> Path:
    """Return a file for a shell's `.`: with it, every `thumbnails` command works on the stack. It ends with the stack."""
    variables = stack.environment | {"STATUS_METRICS_URLS": stack.metrics_endpoints}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    path = stack.folder / ENVIRONMENT_NAME
    path.touch(mode=0o600)  # the key of the credentials is in it
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def say_what_to_try(console: Console, stack: DemoStack, journeys: list[Journey]) -> None:
    """Print where the page is, how to get a shell on the installation, and commands that show something."""
    commands = {
        f"thumbnails publish FILE --company {journeys[0].company} --wait 60": "your own file",
        f"thumbnails follow {journeys[0].upload.media.record_key}": "one upload's way",
        "thumbnails dlq list": "what failed, and why",
        "thumbnails topics list": "what is in Kafka",
    }
    width = max(map(len, commands))
    lines = (
        "",
        f"It all runs on. The page: {stack.page_url}",
        "",
        "In another terminal:",
        f"  . {shlex.quote(str(write_environment(stack)))}",
        "  thumbnails status",
        "",
        "Then, in that terminal:",
        *(f"  {command:{width}}  # {shows}" for command, shows in commands.items()),
        "",
        "Ctrl-C here ends everything, and removes all but the contact sheet.",
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def wait_for_the_end(console: Console, stack: DemoStack) -> None:
    """Return at Ctrl-C or SIGTERM. Raises DemoError when a process of the stack has ended."""
    try:
        while True:
            stack.check()
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Ending everything …")
