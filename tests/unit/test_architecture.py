"""Rules of the house that no type checker keeps."""

import ast
from pathlib import Path

import pytest

import gateway

HOUSE = Path(gateway.__file__).parent
FILES = [path for path in sorted(HOUSE.rglob("*.py")) if "pb" not in path.parts]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_only_the_gate_makes_a_permit() -> None:
    makers = {
        path.relative_to(HOUSE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Permit"
    }
    assert makers == {"policy/gate.py"}


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("grpc", {"upstream", "demo"}),
        ("ngh2", {"http2"}),
        ("aiohttp.web", {"front", "demo", "app.py"}),
        ("jwt", {"policy", "demo"}),
    ],
)
def test_who_may_import_what(package: str, rooms: set[str]) -> None:
    users = {
        path.relative_to(HOUSE).parts[0]
        for path in FILES
        if any(name == package or name.startswith(package + ".") for name in imports(path))
    }
    assert users <= rooms
    assert users, f"nobody imports {package}: is this test still about anything?"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
