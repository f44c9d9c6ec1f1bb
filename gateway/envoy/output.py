"""From settings to files that Envoy runs with."""

from dataclasses import dataclass
from pathlib import Path

from gateway.envoy.discovery import discovered
from gateway.envoy.files import Files
from gateway.envoy.render import Rendering, render
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `output` None: one text, and certificates that are read once. `base`: where Envoy will find
    the folder of gateway.yaml, if elsewhere. `offline`: ask no issuer where its keys are.
    """

    configuration: Path
    output: Path | None = None
    base: str | None = None
    offline: bool = False

    @property
    def secrets(self) -> Path | None:
        """The folder for SDS files, beside the output: envoy.yaml -> envoy-secrets."""
        return None if self.output is None else self.output.absolute().with_name(f"{self.output.stem}-secrets")


async def rendering_of(settings: Settings, request: Request) -> Rendering:
    """Of settings that came from `request.configuration`. Raises SettingsError."""
    uris = {} if request.offline else await discovered(settings)
    files = Files(request.configuration.absolute().parent, base=request.base)
    if request.secrets is not None:
        files = files.watching(request.secrets)
    return render(settings, files, uris)


def write(request: Request, rendering: Rendering) -> list[Path]:
    """The files that were written. Raises OSError."""
    assert request.output is not None
    assert request.secrets is not None
    contents = {request.output: rendering.text}
    contents |= {request.secrets / name: text for name, text in rendering.secrets.items()}
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(contents)
