"""A CA of a test's own and the certificates it signs, by openssl(1)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Certificate:
    """The paths of a certificate and its key."""

    certificate: Path
    key: Path

    def place_at(self, other: Certificate) -> None:
        """Takes the other's place in one step for each file, as deployment tools do it."""
        for source, target in ((self.key, other.key), (self.certificate, other.certificate)):
            beside = target.with_name(target.name + ".new")
            beside.write_bytes(source.read_bytes())
            os.replace(beside, target)


class Authority:
    """Signs what it is asked to."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory / name
        self.directory.mkdir(parents=True)
        self.certificate, self._key = self.directory / "ca.pem", self.directory / "ca.key"
        _openssl(
            *["req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.certificate],
            *["-subj", f"/CN={name}", "-days", "2"],
        )

    def server(self, name: str, alternatives: str = "DNS:localhost,IP:127.0.0.1") -> Certificate:
        """For this machine, by name and address, unless it is for another."""
        return self._sign(name, f"subjectAltName={alternatives}", "serverAuth")

    def client(self, name: str, uri: str = "") -> Certificate:
        return self._sign(name, f"subjectAltName=URI:{uri}" if uri else "", "clientAuth")

    def _sign(self, name: str, alternatives: str, usage: str) -> Certificate:
        key, request, made, extensions = (
            self.directory / f"{name}{suffix}" for suffix in (".key", ".csr", ".pem", ".ext")
        )
        extensions.write_text(f"extendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n{alternatives}\n")
        _openssl("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *["x509", "-req", "-in", request, "-out", made, "-days", "1", "-extfile", extensions],
            *["-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"],
        )
        return Certificate(made, key)
