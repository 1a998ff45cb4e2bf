"""References: what names a secret, and who may refer to which."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_kspec.errors import AccessDenied, UsageError
from pytest_kspec.secretstores.allowed import VARIABLE, Allowed, allowed_by_environment
from pytest_kspec.secretstores.reference import Reference, parse_reference, reference_of


class Ref(NamedTuple):
    name: str
    namespace: str = ""
    key: str = ""
    store: str = ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kubernetes:team/prod#token", Reference("kubernetes", "prod", "team", "token")),
        ("kubernetes:prod", Reference("kubernetes", "prod", "mine")),
        ("vault:secret/data/kspec/a#kubeconfig", Reference("vault", "secret/data/kspec/a", "", "kubeconfig")),
        ("aws:kspec/team/prod", Reference("aws", "kspec/team/prod")),
        (
            "aws:arn:aws:secretsmanager:eu-central-1:111122223333:secret:x-AbCdEf#k",
            Reference("aws", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:x-AbCdEf", "", "k"),
        ),
        ("file:/run/secrets/a b", Reference("file", "/run/secrets/a b")),
    ],
)
def test_texts(text: str, expected: Reference) -> None:
    assert parse_reference(text, namespace="mine") == expected


NOTHING = [
    *(
        "",
        "prod",
        "s3:x",
        "kubernetes:",
        "kubernetes:A",
        "kubernetes:a/b/c",
        "vault:",
        "vault:/a",
        "vault:a//b",
    ),
    *(
        "vault:a/../b",
        "vault:a/./b",
        "vault:a%2fb",
        "vault:a?b",
        "vault:a b",
        "aws:a/../b",
        "aws:a:b",
        "aws: ",
    ),
    *("vault:a#b/c", "vault:a#b c", "vault:" + "a" * 1025, "file:", "file:a\0b", "kubernetes:ns_/a"),
]


@pytest.mark.parametrize("text", NOTHING, ids=lambda text: repr(text[:30]))
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text, namespace="mine")


def test_references_of_objects() -> None:
    assert reference_of(Ref("a"), namespace="n", key="token") == Reference("kubernetes", "a", "n", "token")
    assert reference_of(Ref("a", "m", "k"), namespace="n", key="token") == Reference(
        "kubernetes", "a", "m", "k"
    )
    found = reference_of(Ref("secret/data/a", "m", store="vault"), namespace="n", key="token")
    assert found == Reference("vault", "secret/data/a", "", "token")
    with pytest.raises(UsageError, match="cannot refer to a file"):
        reference_of(Ref("/etc/shadow", store="file"), namespace="n", key="token")


OWN = [
    Reference("kubernetes", "a", "team"),
    Reference("vault", "secret/data/kspec/team/prod"),
    Reference("vault", "kv1/kspec/team/prod"),
    Reference("aws", "kspec/team/prod"),
]
OTHERS = [
    Reference("kubernetes", "a", "kube-system"),
    Reference("vault", "secret/data/kspec/team2/prod"),
    Reference("vault", "secret/data/kspec/team"),
    Reference("vault", "secret/data/other/kspec/team/prod"),
    Reference("vault", "secret/metadata/kspec/team/prod"),
    Reference("vault", "kspec/team/prod"),
    Reference("aws", "kspec/team2/prod"),
    Reference("aws", "x/kspec/team/prod"),
    Reference("aws", "arn:aws:secretsmanager:eu-central-1:1:secret:kspec/team/prod"),
    Reference("file", "/etc/passwd"),
]


@pytest.mark.parametrize("reference", OWN, ids=str)
def test_objects_refer_to_their_own_secrets(reference: Reference) -> None:
    Allowed().check(reference, "team")


@pytest.mark.parametrize("reference", OTHERS, ids=str)
def test_objects_do_not_refer_to_those_of_others(reference: Reference) -> None:
    with pytest.raises(AccessDenied, match="an object of the namespace team may not refer to"):
        Allowed().check(reference, "team")
    Allowed().check(reference, "")  # the user at the command line reads with rights of their own


def test_rules_allow_more() -> None:
    rules = "team=vault:secret/data/shared/*, team=kubernetes:kube-system/a,other=aws:*"
    allowed = allowed_by_environment({VARIABLE: rules})
    allowed.check(Reference("kubernetes", "a", "kube-system"), "team")
    allowed.check(Reference("vault", "secret/data/shared/x/y"), "team")
    allowed.check(Reference("aws", "anything"), "other")
    for reference, asker in (
        (Reference("kubernetes", "b", "kube-system"), "team"),
        (Reference("kubernetes", "a", "kube-system"), "other"),
        (Reference("vault", "secret/data/sharedx"), "team"),
        (Reference("aws", "anything"), "team"),
    ):
        with pytest.raises(AccessDenied):
            allowed.check(reference, asker)


@pytest.mark.parametrize("rules", ["x", "a=b", "a=s3:x", "a=file:/x", "a=vault:", "*=vault:x", "a=vault:x y"])
def test_what_is_no_rule(rules: str) -> None:
    with pytest.raises(UsageError, match=VARIABLE):
        allowed_by_environment({VARIABLE: rules})
