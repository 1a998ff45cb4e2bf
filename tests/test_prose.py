"""What the linter of English sees, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import prose


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def found(root: Path) -> list[str]:
    return [line.partition(" (…")[0] for line in prose.problems(prose.texts(root), prose.phrases(), root)]


def test_a_page_is_read_without_its_code(tmp_path: Path) -> None:
    page = "# Pages\n\nThis `is no code`.\n\n```console\n$ it is no code here\n```\n\nIt is\nno page, no longer.\n"
    write(tmp_path, "docs/page.md", page)
    assert found(tmp_path) == ["docs/page.md:9: 'is no p'"]


def test_of_code_the_texts_are_read_and_no_docstrings(tmp_path: Path) -> None:
    code = (
        '"""This is no text that users read."""\n\nKEY = "is no"\n\n'
        "def check(name: str) -> str:\n"
        '    """Nobody reads this one."""\n'
        "    return f\"'{name}' is no valid name of a check\"\n\n"
        'TEXT = "There are no checks. " "Nobody asked for them"\n'
    )
    write(tmp_path, "pytest_kspec/module.py", code)
    assert found(tmp_path) == ["pytest_kspec/module.py:7: 'is no v'", "pytest_kspec/module.py:9: 'Nobody'"]


def test_two_texts_are_not_one(tmp_path: Path) -> None:
    write(tmp_path, "pytest_kspec/module.py", 'A = ["say what it is", "no one says what"]\n')
    assert found(tmp_path) == []


def test_what_is_bad_english_anywhere_is_found(tmp_path: Path) -> None:
    write(tmp_path, "README.md", "# Readme\n\nIt is a free gift.\nA word word.\n")
    lines = list(prose.problems(prose.texts(tmp_path), prose.phrases(), tmp_path))
    assert lines[0].startswith("README.md:3: Redundancy.")
    assert lines[-1].startswith("README.md:4: 'word word'")


def test_a_line_of_phrases_has_both_parts(tmp_path: Path) -> None:
    path = write(tmp_path, "phrases.txt", "# pattern => instead\n\nis no => is not a\nis none\n")
    with pytest.raises(ValueError, match=r"phrases\.txt:4: must be PATTERN => INSTEAD"):
        prose.phrases(path)
