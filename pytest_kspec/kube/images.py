"""Image references and registry patterns, read by the grammar of the distribution project.

`nginx` is `docker.io/library/nginx:latest`; `localhost:5000/x` has a registry, `team/x` has none. Comparing
text instead of parts lets `evil.com/x.gcr.io/img` pass for `*.gcr.io`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from pytest_kspec.kube.globs import FEW, Pieces, linear, pieces_of
from pytest_kspec.regexes import regex

DOCKER_HUB = "docker.io"
# What Docker Hub answers to; one written for another must not slip through a list.
HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
NAME_LIMIT = 255
REFERENCE_LIMIT = 1024
"""Characters of a whole reference: name, tag and the longest digest, with what `normal_host` takes away."""

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = regex(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
COMPONENT = regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
TAG_LIMIT = 128
TAG = regex(rf"\w[\w.-]{{0,{TAG_LIMIT - 1}}}", re.ASCII)
_DIGEST = regex(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<hex>[0-9a-f]+)", re.ASCII)
DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_PATTERN_HOST = regex(r"(?:[a-z0-9*.-]+|\[[0-9a-f:]+\])(?::(?:[0-9]{1,5}|\*))?", re.ASCII)
_PATTERN_SEGMENT = regex(r"[a-z0-9._*-]+", re.ASCII)


class ImageReference(NamedTuple):
    """A parsed reference. registry: host, with its port if that is not 443; tag and digest: "" if absent."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def segments(self) -> tuple[str, ...]:
        """Registry and path: ("docker.io", "library", "nginx")."""
        return self.registry, *self.repository.split("/")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


@lru_cache(maxsize=16384)
def parse_image(text: str) -> ImageReference:
    """Read a reference as container runtimes do. Raises ValueError with the reason."""
    if len(text) > REFERENCE_LIMIT:
        raise ValueError(f"it is longer than {REFERENCE_LIMIT:,} characters")
    name, at, digest = text.partition("@")
    if at:
        _check_digest(digest)
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not TAG.fullmatch(tag):
        raise ValueError(f"{tag!r} is not a tag")
    registry, repository = _split_registry(head + slash + last)
    if not registry and re.fullmatch(r"[0-9a-f]{64}", repository):
        raise ValueError("64 hexadecimal digits are an image ID, not a name")
    for component in repository.split("/"):
        if not COMPONENT.fullmatch(component):
            what = "is empty" if not component else f"{component!r} is not allowed"
            hint = " (it must be lower case)" if component != component.lower() else ""
            raise ValueError(f"a part of the name {what}{hint}")
    registry = normal_host(registry) if registry else DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if len(registry) + 1 + len(repository) > NAME_LIMIT:
        raise ValueError(f"the name is longer than {NAME_LIMIT} characters")
    return ImageReference(registry, repository, tag, digest)


def normal_host(host: str) -> str:
    """A registry's host in one spelling: lower case, no default port, `docker.io` for all of Docker Hub."""
    host = host.lower().removesuffix(":443")
    return DOCKER_HUB if host in HUB_HOSTS else host


def _check_digest(digest: str) -> None:
    match = _DIGEST.fullmatch(digest)
    if match is None or len(match["hex"]) != DIGEST_LENGTHS.get(match["algorithm"]):
        raise ValueError(f"{digest!r} is not a digest; a digest is sha256: and 64 hexadecimal digits")


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (_names_host(first) or first != first.lower()):
        return "", name
    if not HOST.fullmatch(first):
        raise ValueError(f"{first!r} is not a registry")
    return first, rest


def _names_host(first: str) -> bool:
    return "." in first or ":" in first or first.lower() == "localhost"


class Part(NamedTuple):
    """A host or a path segment with wildcards.

    regex:      what is matched here; no text takes it more time than in proportion to pattern and text
    expression: the same for RE2, which has no use for atomic groups
    pieces:     texts that all that is matched holds
    """

    regex: re.Pattern[str]
    expression: str
    pieces: tuple[str, ...] = ()


class RegistryPattern(NamedTuple):
    """Registries or repositories as a list of a specification names them, matched segment by segment.

    `gcr.io`       everything of that registry; never gcr.io.evil
    `gcr.io/team`  gcr.io/team and everything below it; `gcr.io/team/*` only what is below
    `docker.io/*`  all of Docker Hub, `nginx` included; `docker.io/x` is the team x and the official image x
    `nginx`        Docker Hub's official image, as in an image reference; `team/app` is Docker Hub's too
    `*.gcr.io`     gcr.io and all its subdomains; elsewhere `*` stays within one label or one path segment
    `*`            every registry
    """

    text: str
    host: Part
    paths: tuple[tuple[Part, ...], ...]

    @classmethod
    def parse(cls, text: str, *, wide: bool = False) -> RegistryPattern:
        """Read a pattern; `wide` (for block lists): `name` alone is also the team. Raises ValueError."""
        first, *path = text.strip().rstrip("/").split("/")
        if "://" in text:
            raise ValueError(f"{text!r} is not a registry: remove the scheme ({text.partition('://')[2]})")
        if "@" in text:
            raise ValueError(f"{text!r}: a pattern names a registry or a repository, without a digest")
        paths = [path]
        if first != "*" and not _names_host(first):
            if "*" in first:
                raise ValueError(f"{text!r}: {first!r} is neither a host nor a path; write docker.io/{first}")
            paths = [[first, *path]] if path or wide else []
            if not path:
                paths.append(["library", first])
            first = DOCKER_HUB
        elif normal_host(first) == DOCKER_HUB and len(path) == 1 and "*" not in path[0]:
            paths.append(["library", *path])
        first = normal_host(first)
        if not _PATTERN_HOST.fullmatch(first) or ".." in first:
            raise ValueError(f"{text!r}: {first!r} is not a registry")
        compiled = []
        for segments in paths:
            if segments and segments[-1] == "**":
                segments[-1] = "*"
            for segment in segments:
                if ":" in segment:
                    raise ValueError(f"{text!r}: a pattern names a registry or a repository, without a tag")
                if not _PATTERN_SEGMENT.fullmatch(segment) or "**" in segment:
                    raise ValueError(f"{text!r}: {segment!r} is not a path segment; `*` stands for one")
            compiled.append(tuple(_part(segment, "/") for segment in segments))
        return cls(text, _host(first), tuple(compiled))

    def matches(self, image: ImageReference) -> bool:
        """True if the image comes from there."""
        host, *path = image.segments
        return self.host.regex.fullmatch(host) is not None and any(
            len(path) >= len(patterns)
            and all(
                pattern.regex.fullmatch(segment) for pattern, segment in zip(patterns, path, strict=False)
            )
            for patterns in self.paths
        )

    @property
    def expression(self) -> str:
        """The same of `registry/repository` as one regular expression of RE2, which matches the whole of it."""
        paths = ["".join(f"/{segment.expression}" for segment in segments) for segments in self.paths]
        path = paths[0] if len(paths) == 1 else f"(?:{'|'.join(paths)})"
        return f"{self.host.expression}{path}(?:/.*)?"

    @property
    def pieces(self) -> frozenset[str]:
        """Texts that `registry/repository` of every image from there holds."""
        paths = [{piece for segment in segments for piece in segment.pieces} for segments in self.paths]
        return frozenset(self.host.pieces).union(set.intersection(*paths) if paths else ())

    def __str__(self) -> str:
        return self.text


class RegistryPatterns:
    """A list of patterns; a long one costs an image no more than a short one."""

    def __init__(self, patterns: Sequence[RegistryPattern]) -> None:
        self._patterns = patterns
        self._index = Pieces([pattern.pieces for pattern in patterns]) if len(patterns) > FEW else None

    def first(self, image: ImageReference) -> RegistryPattern | None:
        """The first that the image is from, or None."""
        return next((self._patterns[index] for index in self.matching(image)), None)

    def matching(self, image: ImageReference) -> Iterator[int]:
        """Positions of all that the image is from, in their order."""
        chosen: Iterable[int] = range(len(self._patterns))
        if self._index is not None:
            chosen = self._index.candidates(f"{image.registry}/{image.repository}")
        return (index for index in chosen if self._patterns[index].matches(image))


def _host(text: str) -> Part:
    if text == "*":
        return Part(re.compile(r".*"), "[^/]+")
    if not text.startswith("*."):
        return _part(text, "./:")
    below = _part(text[2:], "./:")
    domains = r"(?:[^/:]+\.)?"
    return Part(re.compile(domains + below.regex.pattern), domains + below.expression, below.pieces)


@lru_cache(maxsize=1024)
def _part(text: str, ends: str) -> Part:
    """A pattern whose `*` stays between these characters."""
    any_one = f"[^{ends}]"
    pieces = re.split(f"([{ends}])", text)
    return Part(
        re.compile("".join(linear(piece, any_one) for piece in pieces)),
        f"{any_one}*".join(map(re.escape, text.split("*"))),
        tuple(pieces_of(text)),
    )
