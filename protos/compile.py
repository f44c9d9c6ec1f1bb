"""Compiles protos/demo/v1/ into gateway/demo/pb/: messages, their type stubs, the service, and its FileDescriptorSet.

    python protos/compile.py [ROOT]      ROOT is the tree to write into: this checkout, unless told otherwise

Rule: what is generated is committed as it comes, and tests/unit/demo/test_pb.py compiles again and compares. protoc
sees the protos under the path of their Python package (`-I gateway/demo/pb=protos/demo/v1`), so the generated imports
are absolute and no text is edited afterwards. The descriptor set keeps the paths that the protos have here.
"""

import sys
from importlib.resources import as_file, files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

PROTOS = Path(__file__).resolve().parent
PACKAGE = "gateway/demo/pb"


def compile_protos(root: Path) -> None:
    """Writes `root`/gateway/demo/pb/. Raises SystemExit when protoc finds a fault, which it names on stderr."""
    out = root / PACKAGE
    out.mkdir(parents=True, exist_ok=True)
    renamed = [f"-I{PACKAGE}={PROTOS / 'demo/v1'}", f"--python_out={root}", f"--pyi_out={root}"]
    _protoc(*renamed, f"{PACKAGE}/status.proto")
    _protoc(*renamed, f"--grpc_python_out={root}", f"{PACKAGE}/demo.proto")
    _protoc(f"-I{PROTOS}", "--include_imports", f"--descriptor_set_out={out / 'demo.binpb'}", "demo/v1/demo.proto")


def _protoc(*arguments: str) -> None:
    with as_file(files("grpc_tools") / "_proto") as well_known_types:
        if protoc.main(["protoc", f"-I{well_known_types}", *arguments]) != 0:
            raise SystemExit(f"protoc failed: {' '.join(arguments)}")


if __name__ == "__main__":
    compile_protos(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS.parent)
