"""Runs commands as an image would be run: its user, its environment, a file system that cannot be written to.

Rule: what this machine does not allow is left out and told.
"""

import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.dockerfile.instruction import ReplayError
from tests.support.dockerfile.replay import Replay
from tests.support.ports import free_ports

PATIENCE = 20.0  # seconds for a command, for a start and for an end
# In a name space of its own, so that nobody else's view changes.
READ_ONLY = """\
for place in / /tmp /var/tmp /dev/shm; do
  ! mountpoint -q $place || mount -o remount,bind,ro $place || exit 1
done
exec "$@"
"""


class Container:
    """`notes` tell how commands run, a line each. `ports` are those of this machine by those of the image."""

    def __init__(self, replay: Replay, ports: Sequence[int]) -> None:
        self.notes: list[str] = []
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self._replay = replay
        self._environment = {"LANG": "C.UTF-8", "HOME": "/"} | replay.image.env
        self._prefix: list[str] = []
        uid, _, gid = replay.image.user.partition(":")
        if not (uid.isdecimal() and gid.isdecimal() and int(uid)):
            raise ReplayError(f"USER {replay.image.user}: must be two numbers, and not root's")
        read_only = ["unshare", "--mount", "/bin/sh", "-c", READ_ONLY, "sh"]
        user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        who = f"user {uid}, group {gid}"
        if not _open_to_all(replay.python):
            # A Python in root's home could not be started otherwise.
            user += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
            who += f", who may read everything, since {replay.python} is not open to all"
        self._add(read_only, "a read-only file system")
        self._add(user, who)

    def _add(self, prefix: list[str], what: str) -> None:
        able = (
            shutil.which(prefix[0])
            and not subprocess.run([*self._prefix, *prefix, "true"], capture_output=True, check=False).returncode
        )
        if able:
            self._prefix += prefix
        self.notes.append(f"with {what}" if able else f"NOT with {what}: this machine does not allow it")

    def run(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(words),
            env=self._environment,
            cwd=self._replay.root,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, words: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        with log.open("wb") as output:
            return subprocess.Popen(
                self._command(words),
                env=self._environment,
                cwd=self._replay.root,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _command(self, words: Sequence[str]) -> list[str]:
        here = [self._replay.here(word) for word in words]
        for port, free in self.ports.items():
            here = [re.sub(rf"\b{port}\b", str(free), word) for word in here]
        program = shutil.which(here[0], path=self._replay.image.env.get("PATH"))
        if program is None:
            raise ReplayError(f"{here[0]} is not in the PATH of the image")
        return [*self._prefix, program, *here[1:]]


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))
