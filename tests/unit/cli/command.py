"""The command as a process, and the least configuration that it takes."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("grpcweb-gateway")
GOOD = """\
listeners: [{bind: '127.0.0.1:0'}]
admin: null
upstreams: {shop: {services: [shop.v1.Orders], targets: ['127.0.0.1:1'], tls: {}}}
"""


class Answer:
    """What one run of the command said."""

    def __init__(self, *arguments: str | Path, cwd: Path, **environ: str) -> None:
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ}
        done = subprocess.run(
            [COMMAND, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.code = done.returncode
        self.out = done.stdout
        self.errors = done.stderr.splitlines()
