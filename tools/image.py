"""Fills the build context of the image: `python -m tools.image FOLDER`.

`requirements.txt` is the part of `requirements.lock` that a user of all extras needs, with its hashes: what is for
development only stays out. `wheels` is for those who build without an index; it is left as it is.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGE = "pytest-kspec"
NOT_IN_THE_IMAGE = {"html"}
"""Extras for runs of pytest of a user's own."""


def pins(lock: str) -> dict[str, str]:
    """Each pin of a lock with its marker and hashes, by canonical name."""
    found = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if "==" in block:
            kept = [line for line in block.splitlines() if not line.lstrip().startswith("#")]
            found[canonicalize_name(block.split("==")[0])] = "\n".join(kept).rstrip() + "\n"
    return found


def needed(package: str, extras: frozenset[str]) -> set[str]:
    """Names of all that a package with these extras needs, on any platform; needs them installed here."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(package, extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform
            continue
        for requirement in map(Requirement, requires):
            marker = requirement.marker
            optional = marker is not None and "extra" in str(marker)
            if optional and not any(marker.evaluate({"extra": extra}) for extra in wanted if marker):
                continue
            found.add(canonicalize_name(requirement.name))
            waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def requirements() -> str:
    """The text of requirements.txt. Raises KeyError for a package that the lock does not have."""
    extras = distribution(PACKAGE).metadata.get_all("Provides-Extra") or []
    names = needed(PACKAGE, frozenset(extras) - NOT_IN_THE_IMAGE)
    locked = pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    return "".join(locked[name] for name in sorted(names) if name in locked)


def main() -> None:
    """Write the folder."""
    folder = Path(sys.argv[1])
    (folder / "wheels").mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(requirements(), encoding="utf-8")


if __name__ == "__main__":
    main()
