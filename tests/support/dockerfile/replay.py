"""The steps of a Dockerfile, one by one, below a folder.

Rule: `/` of the stage at hand is always FOLDER/image, because scripts and virtual environments know their own place; a
stage that is done moves to FOLDER/stage-NAME. Steps see the environment that the image says, and nothing else of ours
but how this machine reaches its package index.
"""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dockerfile.context import Context
from tests.support.dockerfile.instruction import Instruction

PLACES = ("/app", "/build", "/etc/grpcweb-gateway")  # of the image; everything else is this machine's
MACHINE = re.compile(r"HOME|PIP_.*|SSL_CERT_.*|(?:https?|no)_proxy", re.IGNORECASE)  # variables


@dataclass(slots=True)
class Image:
    """What the instructions say of the last stage."""

    base: str = ""
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    ports: list[int] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


class Replay:
    """`root` is `/` of the last stage, and `image` what is said of it, once every `step` was taken."""

    def __init__(self, folder: Path, context: Context, python: Path) -> None:
        """`python` stands for the base image. `folder` is empty."""
        self.folder = folder
        self.root = folder / "image"
        self.python = python
        self.image = Image()
        self._context = context
        self._arguments: dict[str, str] = {}
        self._stage = ""
        base = folder / "base"
        base.mkdir()
        (base / "python3").symlink_to(python)
        self._path = f"{base}:/usr/local/bin:/usr/bin:/bin"

    def here(self, text: str) -> str:
        """`text` with the image's places as they are here."""
        return re.sub(rf"(?<![\w./-])(?:{'|'.join(PLACES)})(?![\w.-])", lambda place: f"{self.root}{place[0]}", text)

    def step(self, instruction: Instruction) -> None:
        """Take one, and print how long it took. Raises ReplayError."""
        perform = getattr(self, f"_do_{instruction.name.lower()}", None)
        if perform is None:
            raise instruction.fail("this instruction is not known here")
        began = time.monotonic()
        perform(instruction)
        text = " ".join(instruction.text.split())
        shown = text[:92] + "…" * (len(text) > 92)
        print(f"{time.monotonic() - began:5.1f} s  {instruction.name} {shown}", flush=True)

    def _do_arg(self, instruction: Instruction) -> None:
        if self._stage or self.image.base:
            raise instruction.fail("only arguments before the first FROM are known here")
        name, _, value = instruction.text.partition("=")
        self._arguments[name] = value

    def _do_from(self, instruction: Instruction) -> None:
        _, words = instruction.words()
        if self.image.base:
            if not self._stage:
                raise instruction.fail("the stage before it has no name, so nothing can be copied from it")
            self.root.rename(self._stage_folder(self._stage))
        self.root.mkdir()
        self._stage = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
        if len(words) != (3 if self._stage else 1):
            raise instruction.fail("must be IMAGE or IMAGE AS NAME")
        self.image = Image(base=re.sub(r"\$\{(\w+)\}", lambda name: self._arguments[name[1]], words[0]))
        if not self.image.base.startswith("python:"):
            raise instruction.fail(f"{self.image.base} is no image of Python")

    def _do_workdir(self, instruction: Instruction) -> None:
        self.image.folder = instruction.text
        self._place(instruction, instruction.text).mkdir(parents=True, exist_ok=True)

    def _do_env(self, instruction: Instruction) -> None:
        for word in instruction.words()[1]:
            name, _, value = word.partition("=")
            self.image.env[name] = self.here(value.replace("${PATH}", self._path))

    def _do_label(self, instruction: Instruction) -> None:
        if not all("=" in word for word in instruction.words()[1]):
            raise instruction.fail("must be NAME=VALUE")

    def _do_run(self, instruction: Instruction) -> None:
        if instruction.text.startswith(("--", "[")):
            raise instruction.fail("only a command for a shell, without flags, is known here")
        machine = {name: value for name, value in os.environ.items() if MACHINE.fullmatch(name)}
        ours = {"PATH": self._path, "LANG": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(
            ["/bin/sh", "-c", self.here(instruction.text)],
            cwd=self.here(self.image.folder) if self.image.folder != "/" else self.root,
            env=machine | ours | self.image.env,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise instruction.fail(f"exit code {done.returncode}\n{done.stdout[-4000:]}")

    def _do_copy(self, instruction: Instruction) -> None:
        flags, (*sources, target) = instruction.words("from")
        destination = self._place(instruction, os.path.join(self.image.folder, target))
        into = target.endswith("/") or len(sources) > 1
        for source in sources:
            if "from" in flags:
                self._copy_place(instruction, flags["from"], source, destination)
            elif (self._context.folder / source).is_dir():
                self._copy_folder(instruction, source, destination)
            elif self._context.has(Path(source)) and (self._context.folder / source).is_file():
                self._copy_file(Path(source), destination / Path(source).name if into else destination)
            else:
                raise instruction.fail(f"{source} is not sent to the engine: it is missing, or .dockerignore has it")

    def _copy_place(self, instruction: Instruction, name: str, source: str, target: Path) -> None:
        stage = self._stage_folder(name)
        if source not in PLACES or not stage.is_dir():
            raise instruction.fail(f"no {source} in a stage {name}")
        shutil.copytree(stage / source.removeprefix("/"), target, symlinks=True)

    def _copy_folder(self, instruction: Instruction, source: str, target: Path) -> None:
        files = list(self._context.files(Path(source)))
        if not files:
            raise instruction.fail(f"{source} is not sent to the engine: .dockerignore has all that is in it")
        for file in files:
            self._copy_file(file, target / file.relative_to(source))

    def _copy_file(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._context.folder / source, target)
        target.chmod((self._context.folder / source).stat().st_mode & 0o777)

    def _do_user(self, instruction: Instruction) -> None:
        self.image.user = instruction.text

    def _do_expose(self, instruction: Instruction) -> None:
        self.image.ports += map(int, instruction.text.split())

    def _do_healthcheck(self, instruction: Instruction) -> None:
        _, words = instruction.words("interval", "timeout", "start-period", "retries")
        if words[0] != "CMD":
            raise instruction.fail("only CMD is known here")
        self.image.health = instruction.command(instruction.text.partition("CMD")[2])

    def _do_entrypoint(self, instruction: Instruction) -> None:
        self.image.entrypoint = instruction.command(instruction.text)

    def _do_cmd(self, instruction: Instruction) -> None:
        self.image.command = instruction.command(instruction.text)

    def _place(self, instruction: Instruction, path: str) -> Path:
        """Where the image's `path` is here."""
        path = os.path.normpath(path)
        if not any(path == place or path.startswith(f"{place}/") for place in PLACES):
            raise instruction.fail(f"{path} is none of the places known here: {', '.join(PLACES)}")
        return Path(self.here(path))

    def _stage_folder(self, name: str) -> Path:
        return self.folder / f"stage-{name}"
