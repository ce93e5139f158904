"""How a client says who it is, and how it knows the server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from dspy_orchestrator.errors import InvalidArgument

SYSTEM = "system"
"""In place of a CA file: the certificates this machine trusts."""

_VARIABLES = {
    "token": "DSPY_ORCHESTRATOR_TOKEN",
    "ca": "DSPY_ORCHESTRATOR_TLS_CA",
    "certificate": "DSPY_ORCHESTRATOR_TLS_CERTIFICATE",
    "key": "DSPY_ORCHESTRATOR_TLS_KEY",
}

_Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Security:
    """A token and the paths of PEM files; empty is none."""

    token: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def found(
        cls,
        *,
        token: str | None = None,
        ca: _Path | None = None,
        certificate: _Path | None = None,
        key: _Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Security:
        """What is given, else what the environment says; an empty string given means none."""
        given: dict[str, _Path | None] = {"token": token, "ca": ca, "certificate": certificate, "key": key}
        settings = {
            name: os.fspath(value) if value is not None else environment.get(_VARIABLES[name], "")
            for name, value in given.items()
        }
        made = cls(**settings)
        made._check()
        return made

    def _check(self) -> None:
        if bool(self.certificate) != bool(self.key):
            missing = "tls_key" if self.certificate else "tls_certificate"
            raise InvalidArgument(f"tls_certificate and tls_key belong together: give {missing} too", missing)
        if self.certificate and not self.ca:
            raise InvalidArgument(f'tls_certificate needs tls_ca: the CA\'s file, or "{SYSTEM}"', "tls_ca")
        # gRPC would end the call with a message that shows the token.
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise InvalidArgument("the token has blanks, line ends or other letters than ASCII's", "token")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call: gRPC's own call credentials refuse to work without TLS, even on this machine."""
        return (("authorization", f"Bearer {self.token}"),) if self.token and not self.ca else ()

    def credentials(self, target: str) -> grpc.ChannelCredentials | None:
        """For a channel to the target; None is without encryption. Reads the files."""
        if self.ca:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=None if self.ca == SYSTEM else _pem(self.ca, "tls_ca"),
                private_key=_pem(self.key, "tls_key") if self.key else None,
                certificate_chain=_pem(self.certificate, "tls_certificate") if self.certificate else None,
            )
            if self.token:
                call_credentials = grpc.access_token_call_credentials(self.token)
                credentials = grpc.composite_channel_credentials(credentials, call_credentials)
            return credentials
        if self.token and not is_local(target):
            raise InvalidArgument(
                f"the token would cross the network to {target} readable: give tls_ca, the CA's file or "
                f'"{SYSTEM}", to encrypt',
                "tls_ca",
            )
        return None


def is_local(target: str) -> bool:
    """Whether what is sent to the target stays on this machine."""
    name = re.sub(r"^(ipv4|ipv6|dns):(///)?", "", target)
    host = re.sub(r":\d+$", "", name).strip("[]")
    return name.startswith("unix:") or host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def _pem(path: str, setting: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{setting}: {path} can't be read: {error.strerror}", setting) from None
    if b"-----BEGIN " not in content:
        raise InvalidArgument(f"{setting}: {path} is no PEM file: it has no line -----BEGIN …-----", setting)
    return content
