"""Where Envoy finds certificates and keys, and how it learns that they were renewed.

Rule: a certificate that is to take effect when its file is renewed comes by SDS, Envoy's secret discovery, from a file
of its own (path_config_source). Where no folder for such files is known, Envoy reads certificates once, at its start.
"""

import os
from pathlib import Path
from typing import Any

from gateway.envoy.node import Node, seconds, to_yaml, typed

TLS = "envoy.extensions.transport_sockets.tls.v3."
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # where Debian, Alpine and Envoy's images have them
INITIAL_FETCH = 5.0  # seconds until Envoy goes on without a secret; its file is on this machine, so it never takes them


def system_authorities() -> str:
    """A file, for Envoy has no word for "whom the system trusts"."""
    return os.environ.get("SSL_CERT_FILE") or SYSTEM_AUTHORITIES


class Files:
    """The files that a configuration names, as Envoy shall see them."""

    def __init__(self, folder: Path, *, base: str | None = None, secrets: str | None = None) -> None:
        """`folder` is that of gateway.yaml and `base` where Envoy will find it; `secrets` is a folder for SDS files, as
        Envoy sees it, or None for none.
        """
        self._folder = folder
        self._base = base
        self._folder_of_secrets = secrets
        self._secrets: dict[str, str] = {}

    @classmethod
    def in_place(cls) -> "Files":
        """Where gateway.yaml says, each read once."""
        return cls(Path.cwd())

    def watching(self, secrets: Path) -> "Files":
        """The same with a folder for SDS files; beside gateway.yaml or below, it moves with `base`."""
        return Files(self._folder, base=self._base, secrets=self.path(secrets))

    @property
    def watched(self) -> bool:
        return self._folder_of_secrets is not None

    @property
    def secrets(self) -> dict[str, str]:
        """What is to be written into the folder of secrets: file name -> text. Only names of files, no key."""
        return dict(self._secrets)

    def path(self, path: Path) -> str:
        """A file named in gateway.yaml; one beside it or below moves with `base`."""
        if self._base is not None and path.is_relative_to(self._folder):
            return os.path.join(self._base, path.relative_to(self._folder))
        return str(path)

    def source(self, path: Path) -> Node:
        """A DataSource."""
        return {"filename": self.path(path)}

    def identity(self, name: str, certificate: Path, private_key: Path) -> Node:
        """Of a CommonTlsContext: the certificate to show. `name` is for the secret."""
        pair = {"certificate_chain": self.source(certificate), "private_key": self.source(private_key)}
        if not self.watched:
            return {"tls_certificates": [pair]}
        secret: Node = {"tls_certificate": pair}
        # Envoy loads a pair once; with files in two folders it has to watch both, which it does when told of neither.
        if certificate.parent == private_key.parent:
            secret = {"tls_certificate": {**pair, "watched_directory": self._watched(certificate)}}
        return {"tls_certificate_sds_secret_configs": [self._secret(f"{name}-certificate", secret)]}

    def trust(self, name: str, authorities: Path | None, **conditions: Any) -> Node:
        """Of a CommonTlsContext: who may sign the peer's certificate (None: whom the system trusts), and what else it
        must fulfil."""
        if authorities is None:
            return {"validation_context": {"trusted_ca": {"filename": system_authorities()}, **conditions}}
        trusted = {"trusted_ca": self.source(authorities)}
        if not self.watched:
            return {"validation_context": {**trusted, **conditions}}
        secret = {"validation_context": {**trusted, "watched_directory": self._watched(authorities)}}
        discovered = self._secret(f"{name}-ca", secret)
        if not conditions:
            return {"validation_context_sds_secret_config": discovered}
        return {
            "combined_validation_context": {
                "default_validation_context": conditions,
                "validation_context_sds_secret_config": discovered,
            }
        }

    def _watched(self, path: Path) -> Node:
        # The folder, not the file: a Kubernetes volume is renewed by moving a link to it.
        return {"path": os.path.dirname(self.path(path))}

    def _secret(self, name: str, secret: Node) -> Node:
        assert self._folder_of_secrets is not None
        file = f"{name}.yaml"
        self._secrets[file] = to_yaml({"resources": [typed(f"{TLS}Secret", name=name, **secret)]})
        return {
            "name": name,
            "sds_config": {
                "path_config_source": {"path": os.path.join(self._folder_of_secrets, file)},
                "resource_api_version": "V3",
                "initial_fetch_timeout": seconds(INITIAL_FETCH),
            },
        }
