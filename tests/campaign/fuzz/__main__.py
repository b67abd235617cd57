"""Damaged files of every kind through a caged slot: `python -m tests.campaign.fuzz --minutes 10 --seed 1`.

Goes on where the ledger of that seed ends. Exit code 0: nothing found so far. 1: findings, whose files lie beside the ledger.
2: it could not be run.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.campaign.fuzz.ledger import Finding, Ledger, OtherSeedsError
from tests.campaign.fuzz.mutations import MutatedFile, mutate
from tests.campaign.fuzz.seeds import kept_files
from tests.campaign.fuzz.trial import Trial, Trials
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN

_SAID_EVERY_S: Final = 30.0
_SAVED_EVERY: Final = 100
_MAX_MESSAGE: Final = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for a while; see the module's text for the exit code."""
    parser = argparse.ArgumentParser("python -m tests.campaign.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, default=1, help="decides the damage (1)")
    parser.add_argument(
        "--files", type=int, default=1_000_000, help="no more than these in all runs together (1000000)"
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="seconds that a file may take, as DECODE_TIMEOUT_S (30)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("fuzz"), help="where sound files, ledgers and findings are kept (fuzz)"
    )
    parser.add_argument("--show", type=int, metavar="NUMBER", help="only write this damaged file, and try it")
    options = parser.parse_args(arguments)
    files = kept_files(options.folder / "sound")
    if options.show is not None:
        return _show(options.folder, mutate(files, options.seed, options.show), options.timeout)
    path = options.folder / f"seed-{options.seed}.json"
    try:
        ledger = Ledger.load(path, options.seed, files)
    except OtherSeedsError as exc:
        _say(str(exc))
        return EXIT_NOT_RUN
    deadline = time.monotonic() + options.minutes * 60
    try:
        asyncio.run(
            hunt(ledger, path, files, timeout_s=options.timeout, most=options.files, deadline=deadline, say=_say)
        )
    except KeyboardInterrupt:
        _say("Stopped.")
    _say(ledger.as_line())
    return EXIT_FOUND if ledger.findings else 0


async def hunt(
    ledger: Ledger,
    path: Path,
    files: dict[str, bytes],
    *,
    timeout_s: float,
    most: int,
    deadline: float,
    say: Callable[[str], None],
) -> None:
    """Try files from the ledger's next one on, until `most` of them or the deadline; the ledger is saved as it goes."""
    started = said = time.monotonic()
    before_s = ledger.seconds
    async with Trials(timeout_s) as trials:
        try:
            while ledger.next < most and time.monotonic() < deadline:
                mutated = mutate(files, ledger.seed, ledger.next)
                trial = await trials.try_file(mutated.content)
                if trial.fault:
                    finding = _keep(path.parent, ledger, mutated, trial)
                    ledger.findings.append(finding)
                    say(f"{finding.what}: {finding.file}: {finding.message}")
                ledger.count(mutated.seed, trial.outcome, trial.reader, trial.seconds)
                ledger.seconds = before_s + time.monotonic() - started
                if trial.fault or ledger.next % _SAVED_EVERY == 0:
                    ledger.save(path)
                if time.monotonic() - said > _SAID_EVERY_S:
                    say(ledger.as_line())
                    said = time.monotonic()
        finally:
            ledger.save(path)


def _keep(folder: Path, ledger: Ledger, mutated: MutatedFile, trial: Trial) -> Finding:
    name = f"{trial.fault.replace(' ', '-')}-{ledger.seed}-{ledger.next}.bin"
    (folder / name).write_bytes(mutated.content)
    return Finding(ledger.next, mutated.seed, mutated.steps, trial.fault, trial.message[:_MAX_MESSAGE], name)


def _show(folder: Path, mutated: MutatedFile, timeout_s: float) -> int:
    async def once() -> Trial:
        async with Trials(timeout_s) as trials:
            return await trials.try_file(mutated.content)

    path = folder / "shown.bin"
    path.write_bytes(mutated.content)
    trial = asyncio.run(once())
    _say(f"{path}: {mutated.seed}, {', '.join(mutated.steps)}: {trial}")
    return EXIT_FOUND if trial.fault else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    sys.exit(main())
