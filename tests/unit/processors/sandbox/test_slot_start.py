"""A slot tries its decoders before it takes a job: one that cannot render says why it does not start."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.campaign.chaos.plants import changed_copy
from tests.campaign.drill.faults import DEAD_RENDER


def test_a_slot_whose_decoders_do_not_work_says_why_it_does_not_start(tmp_path: Path) -> None:
    root = changed_copy([DEAD_RENDER], tmp_path / "broken")
    script = """
        import asyncio
        from processors.sandbox.pool import DecodeSlots
        from schemas.errors import ThumbnailError
        async def main():
            try:
                await DecodeSlots(1).start()
            except ThumbnailError as exc:
                print(exc.code, exc.message)
        asyncio.run(main())
    """
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == (
        "internal.error A decode slot does not start: AttributeError: module PIL.Image has no attribute ANTIALIAS\n"
    )
