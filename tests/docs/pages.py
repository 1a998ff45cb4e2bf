"""What the pages hold: commands, code, headings, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])

_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_INDENTED = re.compile(r"^ {4}((?:kspec|pytest|cat|kustomize) .+)$", re.MULTILINE)


class Command(NamedTuple):
    """One command line of a page. live: it needs a cluster; exit_code: what it must end with, None: 0 or 1."""

    line: str
    exit_code: int | None
    live: bool


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """Fenced blocks of a language."""
        return [body for kind, _, body in _BLOCK.findall(self.text) if kind == language]

    def commands(self) -> list[Command]:
        """Lines after `$ ` of `console` blocks; indented command lines in the READMEs of examples."""
        found = []
        for kind, attributes, body in _BLOCK.findall(self.text):
            if kind == "console":
                words = attributes.split()
                given = next((word[5:] for word in words if word.startswith("exit=")), "0")
                code = None if given == "open" else int(given)
                for line in body.replace("\\\n", " ").splitlines():
                    if line.startswith("$ "):
                        found.append(Command(line[2:], code, "live" in words))
        if self.path.parent.parent.name == "examples":
            for line in _INDENTED.findall(self.text):
                found.append(Command(line, None, "my-context" in line))
        return found

    def headings(self) -> list[str]:
        """Texts of headings, code blocks aside."""
        return _HEADING.findall(_BLOCK.sub("", self.text))

    def anchors(self) -> set[str]:
        """Their anchors, as the usual renderers make them."""
        return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in self.headings()}

    def links(self) -> list[str]:
        """Targets of links to other pages and headings."""
        text = _BLOCK.sub("", self.text)
        return [link for link in _LINK.findall(text) if not link.startswith(("http://", "https://"))]
