"""The sample page's own gRPC-Web client, in Node.js: tests/browser/web_client.test.mjs."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import find


@pytest.mark.node
def test_the_client_of_the_page() -> None:
    node = find("node")
    assert node is not None
    tests = Path(__file__).with_name("web_client.test.mjs")
    ran = subprocess.run([node, "--test", tests], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n# tests 0\n" not in ran.stdout
