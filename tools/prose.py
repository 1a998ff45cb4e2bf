"""Lints the project's English: the pages in docs, and the texts in code that users read (`make lint`).

proselint knows what is bad English anywhere; `tools/phrases.txt` lists the phrases that this project has outgrown.
`docs/style.md` says how it should read. Both look at prose only: code in pages, and docstrings, are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from proselint.checks import __register__
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).resolve().parent.parent
PHRASES = Path(__file__).with_name("phrases.txt")
PAGES = ("README.md", "docs/*.md")
CODE = ("pytest_kspec", "builtin_checks")
FEWEST_WORDS = 3
"""A shorter literal is a key, a name or a format."""

# Straight quotes and dots are code as often as text, and versions look like dates. phrases.txt has repeated words:
# proselint takes "secrets Secrets" and "SOC 2 2017" for such.
OFF = ("typography", "dates_times", "lexical_illusions")
CONFIG: Config = {"max_errors": 1000, "checks": {**DEFAULT["checks"], **dict.fromkeys(OFF, False)}}

_FENCE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\([^)\s]*\)")
_WORD = re.compile(r"[A-Za-z]{2,}")


class Text(NamedTuple):
    """A text that people read, and where its first line stands."""

    path: Path
    line: int
    text: str


class Phrase(NamedTuple):
    """What is not written, and what to write instead."""

    pattern: re.Pattern[str]
    instead: str


def phrases(path: Path = PHRASES) -> list[Phrase]:
    """One a line, `PATTERN => INSTEAD`; a space in a pattern may be a line break.

    Raises ValueError for any other line that is not a comment.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, arrow, instead = line.partition(" => ")
        if not arrow:
            raise ValueError(f"{path.name}:{number}: must be PATTERN => INSTEAD")
        found.append(Phrase(re.compile(pattern.strip().replace(" ", r"\s+"), re.I), instead.strip()))
    return found


def page(path: Path) -> Text:
    """A page without its code, with the same lines. A cell of a table and a heading end like sentences."""
    text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8"))
    text = _LINK.sub("]", _INLINE.sub("…", text)).replace("|", ";")
    return Text(path, 1, re.sub(r"^(#.*)$", r"\1.", text, flags=re.M))


def messages(path: Path) -> Iterator[Text]:
    """Literals of several words, without docstrings, each on one line, with `…` for values and `¶` at its end."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    apart = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            apart.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            apart.update(inner for inner in ast.walk(node) if inner is not node)
    for node in ast.walk(tree):
        if node in apart:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
        else:
            continue
        if " " in text and len(_WORD.findall(text)) >= FEWEST_WORDS:
            yield Text(path, node.lineno, f"{' '.join(text.split())} ¶")


def texts(root: Path = ROOT) -> Iterator[Text]:
    """All that is linted."""
    for pattern in PAGES:
        yield from map(page, sorted(root.glob(pattern)))
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            yield from messages(path)


def problems(found: Iterable[Text], unwanted: list[Phrase], root: Path = ROOT) -> Iterator[str]:
    """`path:line: what is wrong`, in the order of the texts."""
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many(__register__)
    for path, together in groupby(found, lambda text: text.path):
        parts = list(together)
        lines = [line for text in parts for line in range(text.line, text.line + text.text.count("\n") + 1)]
        whole, where = "\n".join(text.text for text in parts), path.relative_to(root)
        for result in LintFile(str(where), whole).lint(CONFIG):
            yield f"{where}:{lines[result.pos[0] - 1]}: {result.check_result.message}"
        for phrase in unwanted:
            for match in phrase.pattern.finditer(whole):
                shown = " ".join(whole[max(0, match.start() - 30) : match.end() + 30].split())
                line = lines[whole.count("\n", 0, match.start())]
                yield f"{where}:{line}: '{' '.join(match[0].split())}' (… {shown} …): {phrase.instead}"


def main() -> int:
    """1 if anything is found."""
    found = list(problems(texts(), phrases()))
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
