"""The scripts of README.md are JavaScript, and what they import is exported."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.readme.page import ROOT, SCRIPTS, TEXT, Block


def imports(script: str) -> Iterator[tuple[str, set[str]]]:
    for names, module in re.findall(r'(?:import|const) \{([^}]+)\}(?: from | = require\()"([^"]+)"', script):
        yield module, set(re.findall(r"\w+", names))


def test_scripts_import_what_the_files_to_copy_export() -> None:
    own = [(module, names) for block in SCRIPTS for module, names in imports(block.text) if module.count("/") == 1]
    own = [(module, names) for module, names in own if module.startswith("./")]
    assert len(own) == 2
    for module, names in own:
        source = (ROOT / "web" / module).read_text()
        exported = set(re.findall(r"export (?:class|function\*?|const|async function) (\w+)", source))
        for again in re.findall(r"export \{([^}]+)\}", source):
            exported |= set(re.findall(r"\w+", again))
        assert names <= exported, module


def test_the_files_to_copy_import_nothing_else() -> None:
    files = {"grpc-web.js", "status.js", "frames.js", "protobuf.js"}
    assert all(f"`web/{name}`" in TEXT for name in files)
    for name in files:
        used = set(re.findall(r'from "\./([^"]+)"', (ROOT / "web" / name).read_text()))
        assert used <= files, name


@pytest.mark.node
@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: f"line {block.line}")
def test_scripts_are_javascript_and_packages_export_what_they_import(block: Block, tmp_path: Path) -> None:
    script = tmp_path / ("script.cjs" if "require(" in block.text else "script.mjs")
    script.write_text(block.text)
    subprocess.run(["node", "--check", script], check=True, timeout=30)
    packages = ROOT / "tests" / "browser" / "clients"
    for module, names in imports(block.text):
        if not module.startswith("./"):
            wanted = json.dumps(sorted(names))
            code = f"const m = await import('{module}'); process.exit({wanted}.every((name) => name in m) ? 0 : 1)"
            subprocess.run(["node", "--input-type=module", "-e", code], cwd=packages, check=True, timeout=30)
