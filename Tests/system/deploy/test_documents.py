"""What the documents say, held to what is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from server import ROOT, Server

DOCUMENTS = [*sorted(ROOT.glob("Documentation/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_every_document_is_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(Documentation/([a-z-]+\.md)\)", (ROOT / "README.md").read_text()))
    for name in list(linked):
        linked |= set(re.findall(r"\]\(([a-z-]+\.md)\)", (ROOT / "Documentation" / name).read_text()))
    assert linked >= {path.name for path in ROOT.glob("Documentation/*.md")}


def test_every_metric_is_explained(server: Server) -> None:
    exposed = set(re.findall(r"^# TYPE (\S+)", server.request("/metrics").text, re.M))
    text = "".join(path.read_text() for path in ROOT.glob("Documentation/*.md"))
    assert exposed - set(re.findall(r"`([a-z_]+)(?:\{[^`]*)?`", text)) == set()


def test_a_backup_of_a_running_server_restores(server: Server, tmp_path: Path) -> None:
    """By the command of operations.md."""
    command = re.search(r"^sqlite3 .*$", (ROOT / "Documentation" / "operations.md").read_text(), re.M)
    assert command
    with server.client() as client:
        for number in range(20):
            client.submit(["true"], job_id=f"job-{number}")
        (tmp_path / "backup").mkdir()
        subprocess.run(["bash", "-c", command[0]], cwd=server.directory, check=True, timeout=60)
    (tmp_path / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = tmp_path / "restored" / "data"
    copy.mkdir(mode=0o700, parents=True)
    (tmp_path / "backup" / "ledger.sqlite").rename(copy / "ledger.sqlite")
    restored = Server(tmp_path / "restored").start()
    try:
        with restored.client() as client:
            jobs = list(client.list())
            assert {job.job_id for job in jobs} == {f"job-{number}" for number in range(20)}
            assert client.wait("job-19", timeout=60).state in ("succeeded", "failed")
    finally:
        restored.close()
