"""What the documents say, held to what is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import one, render
from documents import DOCUMENTS, SHELLS, blocks, name
from server import ROOT, Server


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_every_document_is_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(Documentation/([a-z-]+\.md)\)", (ROOT / "README.md").read_text()))
    for file in list(linked):
        linked |= set(re.findall(r"\]\(([a-z-]+\.md)\)", (ROOT / "Documentation" / file).read_text()))
    assert linked >= {path.name for path in ROOT.glob("Documentation/*.md")}


def test_the_chart_takes_what_the_helm_command_sets() -> None:
    commands = [
        command
        for document in DOCUMENTS
        for block in blocks(document)
        if block.language in SHELLS
        for command in block.commands()
        if command.startswith("helm install")
    ]
    assert commands
    for command in commands:
        values: dict[str, Any] = {}
        for setting in re.findall(r"--set (\S+)", command):
            path, _, text = setting.partition("=")
            *parents, last = path.split(".")
            place = values
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = {"true": True, "false": False}.get(text, text)
        assert one(values, "StatefulSet")


def test_what_the_charts_notes_say_to_look_at_is_there() -> None:
    for more in ({}, {"queue": {"persistence": {"enabled": True}}, "envRunner": {"enabled": True}}):
        texts = render({"insecure": True} | more)
        notes = texts.pop("orchestrator/templates/NOTES.txt")
        objects = [each for text in texts.values() for each in yaml.safe_load_all(text) if each]
        there = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in objects}
        named = re.findall(r"\b(?:statefulset|service|deployment)/\S+", notes)
        assert len(named) >= 2
        assert set(named) <= there


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
