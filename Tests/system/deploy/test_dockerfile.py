"""The build stage of the Dockerfile, as far as it can be tried without compiling a release in it."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

from engine import DOCKERFILE
from server import EXECUTABLE, ROOT

IGNORE = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().split()


def is_sent(path: str) -> bool:
    """Whether Docker gets to see it: the last pattern that fits it, or a directory it is in, decides."""
    sent = True
    for pattern in IGNORE:
        bare = pattern.removeprefix("!")
        parts = Path(path).parts
        if any(fnmatch.fnmatch("/".join(parts[:count]), bare) for count in range(1, len(parts) + 1)):
            sent = pattern.startswith("!")
    return sent


def copied() -> list[str]:
    """What the build stage copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.M)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_is_copied_is_there_and_sent() -> None:
    assert len(copied()) >= 4
    for source in copied():
        assert (ROOT / source).exists(), source
        assert is_sent(f"{source}/file" if (ROOT / source).is_dir() else source), source
    assert not is_sent("Tests/system/server.py")
    assert not is_sent(".git/config")


def test_the_package_is_whole_with_what_is_copied(tmp_path: Path) -> None:
    """SwiftPM looks for the sources of every target of the manifest, whichever it is to build."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in tracked.splitlines():
        if is_sent(file) and any(file == source or file.startswith(f"{source}/") for source in copied()):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    described = subprocess.run(
        ["swift", "package", "--package-path", str(tmp_path), "describe"], capture_output=True, text=True, timeout=120
    )
    assert described.returncode == 0, described.stderr
    assert "warning" not in described.stderr
    built = re.findall(r"--product (\S+)", DOCKERFILE.read_text())
    assert {"dspy-orchestrator", "dspy-env-runner"} <= set(built)
    for product in built:
        assert re.search(rf"^\s*{product}$", described.stdout, re.M), product
    # The supervisor is built without SwiftPM, by a script that is copied with what it sources.
    ended = subprocess.run(
        [tmp_path / "scripts" / "build-supervisor", tmp_path / "supervisor"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr


def test_every_library_has_its_package_in_both_stages() -> None:
    """What is linked to be run has to be there to link, and to run."""
    linked = subprocess.run(["ldd", EXECUTABLE], capture_output=True, text=True, check=True).stdout
    text = DOCKERFILE.read_text()
    for library in ("nghttp2", "protobuf-c", "sqlite3", "rdkafka", "z"):
        assert re.search(rf"^\s*lib{library}\.so\.", linked, re.M), library
        package = {"z": "zlib1g"}.get(library, f"lib{library}")
        assert re.search(rf"\b{package}-?(?:dev)\b", text), library
        assert re.search(rf"\b{package}(?:-?\d+)?(?= )", text.partition("AS runtime")[2]), library
