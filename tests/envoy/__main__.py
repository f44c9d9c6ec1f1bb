"""`python -m tests.envoy` writes the table of differences into envoy/README.md.

`python -m tests.envoy compare [PATTERN]` plays the cases "section/name" that the pattern fits through both, and prints
what differs and what the table says to that; * stands for anything.
"""

import argparse
import asyncio
import logging
import tempfile
from collections import defaultdict
from pathlib import Path

import structlog

from tests.envoy import table
from tests.envoy.client import play
from tests.envoy.compare import differ, problems
from tests.envoy.corpus import CORPUS
from tests.envoy.differences import TABLE
from tests.envoy.differences.row import fits
from tests.envoy.observation import observe
from tests.envoy.stage import staged

Outcome = tuple[tuple[str, ...], tuple[str, ...]]  # what differs, and what is wrong with the table about it


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.envoy", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("write", "compare"), default="write")
    parser.add_argument("pattern", nargs="?", default="*")
    arguments = parser.parse_args()
    if arguments.action == "write":
        table.README.write_text(table.renewed(table.README.read_text("utf-8")), "utf-8")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for (found, wrong), cases in sorted(asyncio.run(_compare(arguments.pattern)).items(), key=lambda each: each[1][0]):
        print("", *cases, *(f"    {line}" for line in found), *(f"  ! {line}" for line in wrong), sep="\n")


async def _compare(pattern: str) -> dict[Outcome, list[str]]:
    """Cases that differ in the same way, together."""
    outcomes: dict[Outcome, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            for case in (case for case in CORPUS if fits(pattern, str(case))):
                gateway, envoy = [observe(case, *await play(case, stage, proxy)) for proxy in ("gateway", "envoy")]
                found = (f"{field}: {ours} | {theirs}" for field, (ours, theirs) in differ(gateway, envoy).items())
                wrong = problems(str(case), gateway, envoy, TABLE)
                outcomes[tuple(found), tuple(wrong)].append(str(case))
    return outcomes


if __name__ == "__main__":
    main()
