"""The soak in short: calls of every kind, half of them given up, while everything around the gateway changes."""

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60  # of the run
PATIENCE = 240  # seconds: each wait of the run is bounded, too


async def test_a_minute_of_everything_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "soak", "--seconds", str(SECONDS), "--rate", "40", "--json", str(file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()  # it ends what it has started
            await process.wait()
    assert process.returncode == 0, output.decode()
    report = json.loads(file.read_text("utf-8"))
    assert report["passed"]
    assert report["run"]["right"] > SECONDS  # it has done something
