"""Packages that only some commands need: the extras of pyproject.toml, as they are installed."""

from __future__ import annotations

import re

from pytest_kspec.errors import UsageError

_OF_EXTRA = re.compile(r"""([\w.-]+)[^;]*;.*\bextra == ["']([\w-]+)["']""")
"""A requirement in a package's metadata: `uvloop<1,>=0.22; sys_platform != "win32" and extra == "webhook"`."""


def missing(error: ModuleNotFoundError, extra: str = "") -> UsageError | None:
    """What to install, where the module that was not found is of a package that is not always installed; else None.

    extra: the one that the command is called like; where there is none, the smallest with this package is named
    """
    module = (error.name or "").partition(".")[0]
    sizes = _extras()
    found = [
        name for name, packages in sizes.items() if any(one.startswith(module.lower()) for one in packages)
    ]
    if not module or not found:
        return None
    chosen = extra if extra in found else min(found, key=lambda name: (len(sizes[name]), name))
    return UsageError(
        f"this needs the package {module}, which is not installed.",
        fix=f"Install it with: pip install 'pytest-kspec[{chosen}]'.",
    )


def _extras() -> dict[str, list[str]]:
    """Packages by extra. They are called like their modules, or begin so: fpdf2, opentelemetry-sdk."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        given = requires("pytest-kspec") or []
    except PackageNotFoundError:  # run from a folder
        return {}
    made: dict[str, list[str]] = {}
    for text in given:
        if (one := _OF_EXTRA.match(text)) is not None:
            made.setdefault(one[2], []).append(one[1].replace("-", "_").lower())
    return made
