"""What is committed in gateway/demo/pb/ is what protos/ compiles to."""

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.demo.pb import demo_pb2

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "gateway/demo/pb"


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file() and path.stem != "__init__"}


def test_generated_files_are_those_of_the_protos(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "protos/compile.py", tmp_path], check=True)
    fresh, committed = contents(tmp_path / "gateway/demo/pb"), contents(COMMITTED)
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert not stale, f"run `make protos`: stale or missing: {', '.join(stale)}"


def test_descriptor_set_is_complete_and_is_the_service() -> None:
    files = FileDescriptorSet.FromString((COMMITTED / "demo.binpb").read_bytes()).file
    assert {name for file in files for name in file.dependency} <= {file.name for file in files}
    (service,) = (service for file in files for service in file.service)
    expected = demo_pb2.DESCRIPTOR.services_by_name["Demo"]
    assert [method.name for method in service.method] == [method.name for method in expected.methods]
