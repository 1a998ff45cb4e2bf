"""Kubernetes versions as API servers, kubelets and specifications write them.

Semantic versioning orders them wrongly: `v1.34.1-eks-113cf36` is no pre-release of 1.34.1 but a build of it.
Here only `-alpha`, `-beta` and `-rc` are pre-releases (they sort before); any other suffix names the vendor's
build and does not count. A bound in a specification means what it says: `1.30` is the whole minor, `1.30.2`
that patch in all its builds.
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import NamedTuple

from pytest_kspec.regexes import regex

_VERSION = regex(
    r"v?(?P<major>0|[1-9]\d{0,8})\.(?P<minor>0|[1-9]\d{0,8})(?:\.(?P<patch>0|[1-9]\d{0,8}))?"
    r"(?:-(?P<stage>alpha|beta|rc)(?P<numbers>(?:[.-]?\d{1,9})*)(?P<after>[-+.][0-9A-Za-z.+_-]+)?"
    r"|(?P<vendor>[-+][0-9A-Za-z.+_-]+))?",
    re.ASCII,
)
_N = r"(0|[1-9]\d{0,8})"
_PRE = r"-(alpha|beta|rc)([.-]?\d{1,9})*([-+.][0-9A-Za-z.+_-]+)?"
BOUND_PATTERN = rf"^v?{_N}\.{_N}(\.{_N}({_PRE}|[-+][0-9A-Za-z.+_-]+)?)?$"
"""What `Bound.parse` reads, as a pattern that JSON Schema and Go understand."""

_FINAL: tuple[str, tuple[int, ...]] = ("~", ())  # sorts after "alpha", "beta" and "rc"


@total_ordering
class Version:
    """One version. Equal and ordered by number and pre-release; the vendor's build suffix does not count.

    major, minor, patch: numbers; pre: ("rc", (1,)), None for a release; suffix: what follows the numbers
    """

    __slots__ = ("major", "minor", "patch", "pre", "suffix", "text")

    def __init__(
        self,
        major: int,
        minor: int,
        patch: int = 0,
        pre: tuple[str, tuple[int, ...]] | None = None,
        suffix: str = "",
    ) -> None:
        self.major = major
        self.minor = minor
        self.patch = patch
        self.pre = pre
        self.suffix = suffix
        self.text = f"v{major}.{minor}.{patch}{suffix}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a gitVersion: `v1.34.1-eks-113cf36`, `v1.32.6+k3s1`, `v1.35.0-rc.1`. Raises ValueError."""
        match = _match(text)
        if match["patch"] is None:
            raise ValueError(f"{text!r} is not a Kubernetes version: it has no patch number")
        return cls(*_numbers(match), _pre(match), _suffix(match))

    @property
    def release(self) -> tuple[int, int]:
        """(major, minor)."""
        return self.major, self.minor

    @property
    def _key(self) -> tuple[int, int, int, tuple[str, tuple[int, ...]]]:
        return self.major, self.minor, self.patch, self.pre or _FINAL

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


class Bound(NamedTuple):
    """A version as a specification names it. `patch` is False for a whole minor ("1.30")."""

    version: Version
    patch: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> Bound:
        """Read `1.30`, `v1.30.2`, `1.30.0-rc.1` or a vendor's build `1.29.0-gke.1`. Raises ValueError."""
        match = _match(text)
        if match["patch"] is None and (match["stage"] or match["vendor"]):
            raise ValueError(f"{text!r} is not a Kubernetes version: a suffix needs a patch number before it")
        return cls(Version(*_numbers(match), _pre(match), _suffix(match)), match["patch"] is not None, text)

    def is_minimum_of(self, version: Version) -> bool:
        """True if `version` is this one or newer. A pre-release of 1.30.0 is older than 1.30."""
        return version >= self.version

    def is_maximum_of(self, version: Version) -> bool:
        """True if `version` is this one or older. Every 1.30.x is within a maximum of 1.30."""
        return version <= self.version if self.patch else version.release <= self.version.release

    def names(self, version: Version) -> bool:
        """True if it is meant: the whole minor, a patch in all builds, or one build if a suffix is given."""
        if not self.patch:
            return version.release == self.version.release
        build = self.version.suffix and self.version.pre is None
        return version == self.version and (not build or version.suffix == self.version.suffix)

    def __str__(self) -> str:
        return self.text


def empty_range(minimum: Bound, maximum: Bound) -> bool:
    """True if no version can lie between the two."""
    return not maximum.is_maximum_of(minimum.version)


def _match(text: str) -> re.Match[str]:
    match = _VERSION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes version: write 1.34 or 1.34.1")
    return match


def _numbers(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match["major"]), int(match["minor"]), int(match["patch"] or 0)


def _pre(match: re.Match[str]) -> tuple[str, tuple[int, ...]] | None:
    if match["stage"] is None:
        return None
    return match["stage"], tuple(int(number) for number in re.findall(r"\d+", match["numbers"]))


def _suffix(match: re.Match[str]) -> str:
    if match["stage"] is None:
        return match["vendor"] or ""
    return f"-{match['stage']}{match['numbers']}{match['after'] or ''}"
