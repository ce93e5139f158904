"""gRPC's main interop cases with grpc-go; the cases are in interop_go/main.go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from interop import interop_server
from server import ROOT

GOPATH = Path("/usr/share/gocode")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("interop_go") / "interop_go"
    subprocess.run(
        ["go", "build", "-o", str(made), str(ROOT / "Tests/system/interop_go/main.go")],
        check=True,
        timeout=170,
        env=os.environ | {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": ""},
    )
    return made


def test_every_case_passes(client: Path) -> None:
    with interop_server() as address:
        ran = subprocess.run([client, address], check=True, capture_output=True, text=True, timeout=120)
    lines = ran.stdout.splitlines()
    assert len(lines) > 10
    assert [line for line in lines if not line.startswith("ok ")] == []
