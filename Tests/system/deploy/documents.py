"""The code that stands in documents, taken apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from server import ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("Documentation/*.md")),
    *[ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    *sorted((ROOT / "clients" / "python").glob("*.md")),
    *sorted((ROOT / "clients" / "python" / "examples").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "docker").rglob("*.md")),
    *sorted((ROOT / "Tests" / "fuzz").glob("*.md")),
]

SHELLS = ("sh", "bash", "console")


class Block(NamedTuple):
    """What stands between two fences."""

    document: Path
    language: str
    text: str

    def commands(self) -> list[str]:
        """Of a shell's block: each whole, over however many lines it goes, and without the remark behind it."""
        found, unfinished = [], ""
        for line in self.text.splitlines():
            unfinished += re.sub(r"\s{2,}# .*", "", line)
            try:
                words = shlex.split(unfinished, comments=True)
            except ValueError:  # an open quote
                unfinished += "\n"
                continue
            if unfinished.endswith("\\"):
                unfinished += "\n"
                continue
            if words:
                found.append(unfinished)
            unfinished = ""
        assert not unfinished, f"{self.document.name}: unfinished: {unfinished}"
        return found


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path) -> list[Block]:
    return [
        Block(document, found[1], found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.M | re.S)
    ]


def prose(document: Path) -> str:
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)


def spans(document: Path) -> Iterator[str]:
    """What stands `like this` in running text and tables."""
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(document))


def python_scripts(document: Path) -> list[str]:
    """A block that imports nothing goes on where the one before it ended."""
    scripts: list[str] = []
    for block in blocks(document):
        if block.language == "python":
            if re.search(r"^(from|import) ", block.text, re.M):
                scripts.append(block.text)
            else:
                scripts[-1] += block.text
    return scripts
