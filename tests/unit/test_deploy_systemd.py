"""The unit of systemd: its keys, what it grants, and that it fits the gateway."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import commands
from gateway.settings import SettingsError, parse
from gateway.supervisor import BEYOND_DRAIN

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "grpcweb-gateway.service"
CREDENTIALS = SYSTEMD / "grpcweb-gateway.service.d" / "credentials.conf"
CONFIGURATION = "/etc/grpcweb-gateway"

CLOSED = re.findall(
    r"\w+",
    """
    NoNewPrivileges LockPersonality MemoryDenyWriteExecute RemoveIPC RestrictNamespaces RestrictRealtime
    RestrictSUIDSGID PrivateDevices PrivateIPC PrivateTmp PrivateUsers ProtectClock ProtectControlGroups ProtectHome
    ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables
    """,
)


def read(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections, keys and their values: a key may stand several times (systemd.syntax)."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in path.read_text().splitlines():
        if not line or line[0] in "#;":
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(match[1], {})
        else:
            key, equals, value = line.partition("=")
            assert equals, line
            assert re.fullmatch(r"[A-Z]\w*", key), line
            section.setdefault(key, []).append(value)
    return sections


SERVICE = read(UNIT)["Service"]


def one(key: str) -> str:
    (value,) = SERVICE[key]
    return value


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "systemd-analyze is MISSING: apt install systemd"
        )
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The unit, of a program that is on this machine."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(one("ExecStart").split()[0], shutil.which("true") or "/bin/true"))
    (tmp_path / CREDENTIALS.parent.name).mkdir()
    shutil.copy(CREDENTIALS, tmp_path / CREDENTIALS.parent.name)
    return path


def test_systemd_knows_every_key_and_value(here: Path) -> None:
    done = analyze("verify", here)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", ["ProtectSytem=strict", "ProtectSystem=very", "SystemCallFilter=@nothing"])
def test_systemd_would_find_one_that_is_wrong(here: Path, line: str) -> None:
    here.write_text(here.read_text().replace("[Install]", f"{line}\n[Install]"))
    assert analyze("verify", here).stderr != ""


def test_systemd_finds_little_that_it_may_do(here: Path) -> None:
    done = analyze(
        "security", "--offline=yes", "--threshold=15", here
    )  # of 100, in tenths of the figure that it prints
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_what_can_be_closed_is_closed() -> None:
    assert {key: one(key) for key in CLOSED} == dict.fromkeys(CLOSED, "yes")
    assert one("ProtectSystem") == "strict"
    assert one("ProtectProc") == "invisible"
    assert "ProcSubset" not in SERVICE  # without /proc/stat there are no metrics of the process
    assert one("CapabilityBoundingSet") == one("AmbientCapabilities") == ""
    assert one("SystemCallArchitectures") == "native"
    assert SERVICE["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert one("RestrictAddressFamilies").split() == ["AF_INET", "AF_INET6", "AF_UNIX"]
    assert not {"StateDirectory", "ReadWritePaths", "CacheDirectory", "LogsDirectory"} & SERVICE.keys()


def test_it_runs_as_a_user_that_is_made() -> None:
    (line,) = (line for line in (SYSTEMD / "sysusers.conf").read_text().splitlines() if not line.startswith("#"))
    kind, name, *_ = shlex.split(line)
    assert kind == "u"
    assert one("User") == one("Group") == name


def test_its_command_is_one_of_the_program() -> None:
    program, *arguments = shlex.split(one("ExecStart"))
    assert Path(program).name == "grpcweb-gateway"
    assert arguments[:2] == ["serve", "-c"]
    assert arguments[2:] == [f"{CONFIGURATION}/gateway.yaml"]
    assert CliRunner().invoke(commands, [arguments[0], "--help"]).exit_code == 0


def test_it_may_drain_before_it_is_killed() -> None:
    default = parse(
        "listeners: [{bind: '127.0.0.1:1'}]\nupstreams: {a: {services: ['*'], targets: ['a:1'], tls: {}}}", ROOT
    )
    assert int(one("TimeoutStopSec")) > default.drain + BEYOND_DRAIN
    assert one("KillSignal") == "SIGTERM"
    assert one("KillMode") == "mixed"  # the program tells its own processes
    assert one("ExecReload").split()[1:] == ["-HUP", "$MAINPID"]


def test_a_start_waits_for_the_main_process_and_a_reload_for_the_start() -> None:
    """Until it is ready SIGHUP has no effect."""
    assert one("Type") == "notify"
    assert one("NotifyAccess") == "main"


def test_a_bad_configuration_is_not_tried_again_and_a_crash_is() -> None:
    text = (ROOT / "README.md").read_text()
    codes = dict(re.findall(r"^\| (\d) \| (.*) \|$", text, re.MULTILINE))
    never = {code for code, meaning in codes.items() if "configuration" in meaning or "usage" in meaning}
    assert set(one("RestartPreventExitStatus").split()) == never == {"1", "2"}
    assert one("Restart") == "on-failure"


def test_credentials_are_what_the_drop_in_says_of_them() -> None:
    loaded = dict(value.split(":", 1) for value in read(CREDENTIALS)["Service"]["LoadCredential"])
    assert all(path == f"{CONFIGURATION}/tls/{name}" for name, path in loaded.items())
    assert {Path(name).suffix for name in loaded} == {".pem", ".key"}
    assert "${CREDENTIALS_DIRECTORY}/server.key" in CREDENTIALS.read_text()
    text = (
        "listeners: [{bind: '127.0.0.1:1', tls: {certificate: '${CREDENTIALS_DIRECTORY}/server.pem', private_key: a}}]"
    )
    with pytest.raises(SettingsError, match=r"certificate: no such file: /run/credentials/gateway/server\.pem"):
        parse(text, ROOT, {"CREDENTIALS_DIRECTORY": "/run/credentials/gateway"})
