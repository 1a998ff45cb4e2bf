"""`ImageRule` as CEL: a reference is read as `pytest_kspec.kube.images` reads it, then compared by segments.

References are read once, in the variable `images`; each rule looks at what was read. The expressions of the grammar are
those of the model, so that they cannot part. CEL has no captures: names are cut at the first `@` and at the `:` of the
last segment, and valid is what then fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.kube import images
from pytest_kspec.kube.images import DOCKER_HUB, RegistryPattern
from pytest_kspec.rules.cel.builder import CelBuilder, extend, path_to
from pytest_kspec.rules.cel.places import Place
from pytest_kspec.rules.cel.text import all_of, concat, literal, literals, parenthesised

if TYPE_CHECKING:
    from pytest_kspec.rules.pods.imagerule import ImageRule

LONGEST = images.NAME_LIMIT + images.TAG_LIMIT + max(images.DIGEST_LENGTHS.values()) + 100
"""Characters that no valid reference exceeds: bounds what an evaluation costs. 100: `:443`, a longer hub, `sha512:`."""

_DIGESTS = "|".join(f"{name}:[0-9a-f]{{{length}}}" for name, length in sorted(images.DIGEST_LENGTHS.items()))
_COMPONENT = images.COMPONENT.pattern
_REPOSITORY = f"^{_COMPONENT}(?:/{_COMPONENT})*$"
_HOST = f"^(?:{images.HOST.pattern})$"
_IMAGE_ID = "^[0-9a-f]{64}$"


def image_rule(rule: ImageRule, builder: CelBuilder) -> str:
    """`ImageRule` on containers and image volumes."""
    exempt = builder.exempt("i.container")
    not_exempt = [f'!(i.container != "" && {parenthesised(exempt)})'] if exempt else []
    bad = all_of([*not_exempt, f'(i.name == "" || !({_good(rule)}))'])
    expected = f'i.name == "" ? "a valid image reference" : {_expected(rule)}'
    text = (
        'i.path + (i.image == "" ? " is unset, must be an image reference" : '
        f'" is " + i.image + ", must be " + ({expected}))'
    )
    return f"variables.images.map(i, {bad}, {text})"


def images_variable(place: Place) -> str:
    """CEL of a list of maps: path, container ("" for volumes), image as written, name: "host/repository" or ""."""
    base = f"{place.path}spec"
    parts = []
    for name in place.lists:
        where = extend(path_to(f"{base}.{name}", "c.name"), ".image")
        parts.append(f"variables.{name}.map(c, {_read(where, 'string(c.name)', 'c.?image')})")
    where = extend(path_to(f"{base}.volumes", "v.name"), ".image.reference")
    parts.append(
        f"variables.volumes.filter(v, has(v.image)).map(v, {_read(where, literal(''), 'v.image.?reference')})"
    )
    return concat(parts)


def _read(where: str, container: str, image: str) -> str:
    text = f'string({image}.orValue(""))'
    return f'{{"path": {where}, "container": {container}, "image": {text}, "name": {_name(text)}}}'


def _bind(value: str, name: str, body: str) -> str:
    """`body` with `name` standing for `value`: Kubernetes has no cel.bind."""
    return f"[{value}].map({name}, {body})[0]"


def _name(image: str) -> str:
    """The name in one spelling, "" for what is no reference; what names a host is as in `images.parse_image`."""
    first = 'n.split("/")[0]'
    names_host = (
        f'n.contains("/") && ({first}.contains(".") || {first}.contains(":") || '
        f'{first}.lowerAscii() == "localhost" || {first} != {first}.lowerAscii())'
    )
    full = f'h + (h == {literal(DOCKER_HUB)} && !r.contains("/") ? "/library/" : "/") + r'
    full = _bind(full, "f", f'f.size() <= {images.NAME_LIMIT} ? f : ""')
    hub = f"h in {literals(sorted(images.HUB_HOSTS))} ? {literal(DOCKER_HUB)} : h"
    lower = (
        f'h == "" ? {literal(DOCKER_HUB)} : h.endsWith(":443") ? h.substring(0, h.size() - 4).lowerAscii() '
        ": h.lowerAscii()"
    )
    named = _bind(lower, "h", _bind(hub, "h", full))
    repository = _bind(
        'h == "" ? n : n.substring(h.size() + 1)', "r", f'r.matches({literal(_REPOSITORY)}) ? {named} : ""'
    )
    host_is_valid = f'h == "" ? !n.matches({literal(_IMAGE_ID)}) : h.matches({literal(_HOST)})'
    host = _bind(f'{names_host} ? {first} : ""', "h", f'({host_is_valid}) ? {repository} : ""')
    tagged = 'n.lastIndexOf(":") > n.lastIndexOf("/")'
    tag_is_valid = f"n.matches({literal(f'^(?:.*/)?[^/:]*:{images.TAG.pattern}$')})"
    untagged = _bind(f'{tagged} ? n.substring(0, n.lastIndexOf(":")) : n', "n", host)
    name = _bind('t.split("@")[0]', "n", f'(!({tagged}) || {tag_is_valid}) ? {untagged} : ""')
    digest_is_valid = f'!t.contains("@") || t.matches({literal(f"^[^@]*@(?:{_DIGESTS})$")})'
    return _bind(image, "t", f't.size() <= {LONGEST} && ({digest_is_valid}) ? {name} : ""')


def _good(rule: ImageRule) -> str:
    conditions = ['i.image.contains("@")'] if rule.digest else []
    conditions += [f"!{_matches(pattern)}" for pattern in rule.blocked_patterns]
    if rule.allowed_patterns:
        conditions.append(" || ".join(map(_matches, rule.allowed_patterns)))
    return all_of(conditions)


def _expected(rule: ImageRule) -> str:
    """What should be there instead, of a valid reference that is not good: CEL of a text."""
    text = literal(f"from {' or '.join(rule.allowed)}")
    for pattern in reversed(rule.blocked_patterns):
        text = f"{_matches(pattern)} ? {literal(f'not from {pattern}')} : {text}"
    if rule.digest:
        text = f'!i.image.contains("@") ? "a digest (…@sha256:…)" : {text}'
    return text


def _matches(pattern: RegistryPattern) -> str:
    """Whether the name of `i` fits the pattern: it, or what is below it."""
    return f"i.name.matches({literal(f'^{pattern.expression}$')})"
