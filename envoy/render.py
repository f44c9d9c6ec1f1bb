"""`make envoy`: writes envoy.yaml and envoy-secrets/ from gateway.yaml, as they are deployed below /etc/envoy.

Rule: the same bytes each time, on every machine. Of certificates and key sets only the names come into the result, and
the repository has none of them: empty files stand for them in a temporary folder, beside a copy of gateway.yaml.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from gateway import envoy
from gateway.settings import SettingsError, load

HERE = Path(__file__).resolve().parent
BASE = "/etc/envoy"  # where Envoy's container has the folder
MOUNTED = (
    *("tls/ca.pem", "tls/server.pem", "tls/server.key", "tls/gateway.pem", "tls/gateway.key"),
    "issuer/jwks.json",
)


def render(folder: Path = HERE) -> dict[Path, str]:
    """What belongs into `folder`, which has a gateway.yaml: path -> text. Raises SettingsError."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        shutil.copy(folder / "gateway.yaml", copy)
        for path in MOUNTED:
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).touch()
        files = envoy.Files(copy, base=BASE).watching(copy / "envoy-secrets")
        rendering = envoy.render(load(copy / "gateway.yaml"), files)
    secrets = {folder / "envoy-secrets" / file: text for file, text in rendering.secrets.items()}
    return {folder / "envoy.yaml": rendering.text, **secrets}


def main() -> int:
    try:
        contents = render()
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1
    for stale in set((HERE / "envoy-secrets").glob("*")) - contents.keys():
        stale.unlink()
    (HERE / "envoy-secrets").mkdir(exist_ok=True)
    for path, text in contents.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
