"""Image references and registry patterns."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.kube.images import ImageReference, RegistryPattern, parse_image

SHA = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("nginx", ("docker.io", "library/nginx", "", "")),
        ("nginx:1.27", ("docker.io", "library/nginx", "1.27", "")),
        ("team/app", ("docker.io", "team/app", "", "")),
        ("docker.io/nginx", ("docker.io", "library/nginx", "", "")),
        ("index.docker.io/team/app", ("docker.io", "team/app", "", "")),
        ("registry-1.docker.io/library/nginx", ("docker.io", "library/nginx", "", "")),
        ("localhost/x", ("localhost", "x", "", "")),
        ("localhost:5000/x:1", ("localhost:5000", "x", "1", "")),
        ("registry:5000/a/b/c", ("registry:5000", "a/b/c", "", "")),
        ("registry:5000", ("docker.io", "library/registry", "5000", "")),
        ("gcr.io:443/x", ("gcr.io", "x", "", "")),
        ("GCR.IO/x", ("gcr.io", "x", "", "")),
        ("Host/x", ("host", "x", "", "")),
        ("[2001:db8::1]:5000/x", ("[2001:db8::1]:5000", "x", "", "")),
        (f"nginx@{SHA}", ("docker.io", "library/nginx", "", SHA)),
        (f"gcr.io/t/nginx:1.27@{SHA}", ("gcr.io", "t/nginx", "1.27", SHA)),
        ("x.io/a__b/c--d.e", ("x.io", "a__b/c--d.e", "", "")),
    ],
)
def test_references(text: str, parsed: tuple[Any, ...]) -> None:
    assert parse_image(text) == ImageReference(*parsed)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("a//b", "is empty"),
        ("/a", "is empty"),
        ("team/App", "must be lower case"),
        ("a___b", "not allowed"),
        (" nginx", "not allowed"),
        ("nginx\n", "not allowed"),
        ("gcr.io./x", "is not a registry"),
        ("-x.io/a", "is not a registry"),
        ("x:", "is not a tag"),
        ("x:-1", "is not a tag"),
        ("x:" + "t" * 129, "is not a tag"),
        ("x@", "is not a digest"),
        ("x@sha256:abc", "is not a digest"),
        ("x@sha256:" + "A" * 64, "is not a digest"),
        ("x@md5:" + "a" * 32, "is not a digest"),
        (f"x@{SHA}@{SHA}", "is not a digest"),
        ("a" * 64, "image ID"),
        ("x.io/" + "a" * 260, "longer than 255"),
    ],
)
def test_what_is_no_reference(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_image(text)


@pytest.mark.parametrize(
    "text", ["nginx@sha256:abc", "evil/sha256:" + "a" * 64, "x/y@sha256:", "a@b@sha256:" + "a" * 64]
)
def test_a_digest_is_parsed_not_searched_for(text: str) -> None:
    with contextlib.suppress(ValueError):  # no reference at all is a finding of its own
        assert parse_image(text).digest == ""


MATCHES = [
    ("docker.io/*", "nginx"),
    ("docker.io/*", "docker.io/nginx"),
    ("docker.io/*", "team/app:1"),
    ("docker.io", "nginx"),
    ("docker.io/nginx", "nginx"),
    ("docker.io/team", "team/app"),
    ("docker.io/library", "nginx"),
    ("docker.io/library/*", "nginx"),
    ("index.docker.io/*", "nginx"),
    ("nginx", "docker.io/library/nginx:1"),
    ("team/*", "team/app"),
    ("team/app", "docker.io/team/app"),
    ("gcr.io/mycompany/*", "gcr.io/mycompany/app"),
    ("gcr.io/mycompany/*", "gcr.io/mycompany/team/app"),
    ("gcr.io/mycompany", "gcr.io/mycompany/app"),
    ("gcr.io/mycompany", "gcr.io/mycompany"),
    ("gcr.io/mycompany/**", "gcr.io/mycompany/team/app"),
    ("gcr.io/", "gcr.io/x"),
    ("gcr.io:443", "gcr.io/x"),
    ("GCR.io", "gcr.io/x"),
    ("*.gcr.io", "eu.gcr.io/x"),
    ("*.gcr.io", "a.b.gcr.io/x"),
    ("*.gcr.io", "gcr.io/x"),
    ("*.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.eu-west-1.amazonaws.com/x"),
    ("gcr.io/*/base", "gcr.io/team/base"),
    ("gcr.io/team-*", "gcr.io/team-a/x"),
    ("*/team/*", "quay.io/team/app"),
    ("*", "anything.example/x"),
    ("localhost:5000", "localhost:5000/x"),
    ("registry.example:*", "registry.example:5000/x"),
]
MISSES = [
    ("*.gcr.io", "evil.com/x.gcr.io/img"),
    ("*.gcr.io", "evilgcr.io/x"),
    ("*.gcr.io", "x.gcr.io.evil.com/x"),
    ("gcr.io", "gcr.io.evil/x"),
    ("gcr.io", "evil.com/gcr.io/x"),
    ("gcr.io/team", "gcr.io/team-evil/x"),
    ("gcr.io/team/*", "gcr.io/team"),
    ("gcr.io/*/base", "gcr.io/a/b/base"),
    ("gcr.*", "gcr.evil.com/x"),
    ("g*r.io", "g.evil.r.io/x"),
    ("docker.io/*", "localhost:5000/x"),
    ("docker.io/*", "docker.io.evil/x"),
    ("docker.io", "evil.com/docker.io/x"),
    ("nginx", "nginx/evil"),
    ("nginx", "evil.com/nginx"),
    ("localhost", "localhost:5000/x"),
    ("registry.example:*", "registry.example/x"),
    ("*.example", "registry.example:5000/x"),
]


@pytest.mark.parametrize(("pattern", "image"), MATCHES)
def test_patterns_match_what_they_name(pattern: str, image: str) -> None:
    assert RegistryPattern.parse(pattern).matches(parse_image(image))


@pytest.mark.parametrize(("pattern", "image"), MISSES)
def test_patterns_match_nothing_else(pattern: str, image: str) -> None:
    assert not RegistryPattern.parse(pattern).matches(parse_image(image))


def test_a_bare_name_in_a_block_list_is_the_team_as_well() -> None:
    image = parse_image("bitnami/redis")
    assert not RegistryPattern.parse("bitnami").matches(image)
    assert RegistryPattern.parse("bitnami", wide=True).matches(image)
    assert RegistryPattern.parse("nginx", wide=True).matches(parse_image("nginx"))


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("https://gcr.io", "remove the scheme (gcr.io)"),
        ("gcr.io/x@" + SHA, "without a digest"),
        ("gcr.io/x:1", "without a tag"),
        ("nginx:latest", "is not a registry"),
        ("gcr*", "neither a host nor a path; write docker.io/gcr*"),
        ("gcr.io/**/x", "`*` stands for one"),
        ("gcr.io/a//b", "`*` stands for one"),
        ("gcr.io/Team", "`*` stands for one"),
        ("gcr..io", "is not a registry"),
        ("gcr.io evil", "is not a registry"),
        ("", "`*` stands for one"),
    ],
)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        RegistryPattern.parse(pattern)


label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
component = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,2})[a-z0-9]{1,3}){0,2}", fullmatch=True)
host = st.one_of(
    st.lists(label, min_size=2, max_size=4).map(".".join),
    st.tuples(label, st.integers(1, 65535)).map(lambda p: f"{p[0]}:{p[1]}"),
    st.just("localhost"),
)
paths = st.lists(component, min_size=1, max_size=4)
tags = st.one_of(st.just(""), st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True))
digests = st.sampled_from(["", "@" + SHA, "@sha512:" + "0f" * 64])


@given(host, paths, tags, digests)
def test_a_written_reference_reads_as_its_parts_and_back(
    registry: Any, path: str, tag: Any, digest: Any
) -> None:
    image = parse_image(f"{registry}/{'/'.join(path)}{tag}{digest}")
    assert image.registry == registry.removesuffix(":443")
    assert image.repository == "/".join(path)
    assert (image.tag, image.digest) == (tag[1:], digest[1:])
    assert parse_image(str(image)) == image


@given(host, paths, host, paths)
def test_a_literal_pattern_matches_by_prefix_of_segments(
    registry: Any, path: str, other: Any, other_path: Any
) -> None:
    pattern = RegistryPattern.parse("/".join((registry, *path)))
    image = parse_image("/".join((other, *other_path)))
    same_host = registry.removesuffix(":443") == other.removesuffix(":443")
    assert pattern.matches(image) is (same_host and other_path[: len(path)] == path)
    assert pattern.matches(parse_image("/".join((registry, *path, "below"))))


@given(host, paths, host, paths)
def test_a_star_never_lets_another_host_in(registry: Any, path: str, other: Any, other_path: Any) -> None:
    pattern = RegistryPattern.parse(f"{registry}/*")
    image = parse_image("/".join((other, *other_path)))
    assert pattern.matches(image) is (image.registry == registry.removesuffix(":443"))


@given(st.text(max_size=40))
def test_no_text_does_more_than_raise_value_error(text: str) -> None:
    for parse in (parse_image, RegistryPattern.parse):
        with contextlib.suppress(ValueError):
            parse(text)
