"""What a user gets from ``pip install``: the wheel, built and installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dspy_orchestrator

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=120)
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(directory)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    return directory


def run(installed: Path, *command: str, **environment: str) -> str:
    # Before the editable installation, which .pth files put at the end of the path.
    settings = os.environ | {"PYTHONPATH": str(installed)} | environment
    ended = subprocess.run(command, env=settings, cwd=installed, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_the_package_its_types_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(file.relative_to(PROJECT / "src"))
        for file in (PROJECT / "src").rglob("*")
        if file.suffix in (".py", ".pyi", ".typed")
    }
    assert "dspy_orchestrator/py.typed" in sources
    assert "dspy_orchestrator/v1/orchestrator_pb2.pyi" in sources
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_the_wheel_has_the_packages_version_and_extras(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read(f"dspy_orchestrator-{dspy_orchestrator.__version__}.dist-info/METADATA")
    for line in ("Requires-Python: >=3.10", "Provides-Extra: dspy", "Requires-Dist: grpcio>=1.62"):
        assert line in metadata.decode().splitlines()


def test_what_is_installed_works(installed: Path) -> None:
    script = "import dspy_orchestrator, pathlib; print(pathlib.Path(dspy_orchestrator.__file__).parent.parent)"
    assert run(installed, sys.executable, "-c", script).strip() == str(installed)
    orch = str(installed / "bin" / "dspy-orch")
    assert run(installed, sys.executable, orch, "--version") == f"dspy-orch {dspy_orchestrator.__version__}\n"
    assert "module:function" in run(installed, sys.executable, "-m", "dspy_orchestrator.worker", "--help")


def test_the_shell_completes_commands(installed: Path) -> None:
    asked = {"_DSPY_ORCH_COMPLETE": "complete_bash", "COMP_WORDS": "dspy-orch s", "COMP_CWORD": "1"}
    offered = run(installed, sys.executable, str(installed / "bin" / "dspy-orch"), **asked)
    assert offered.split() == ["submit", "status"]


def test_importing_the_package_needs_no_dspy_and_no_command_line() -> None:
    script = (
        "import sys, dspy_orchestrator; "
        "print([name for name in ('dspy', 'typer', 'rich', 'numpy') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n"
