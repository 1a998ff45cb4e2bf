"""`user` entries: tokens, certificates, impersonation, providers that kubectl has given up."""

import subprocess
from typing import Any

import pytest

from tests.cluster.referee.world import Seen, World, both, cluster_of, user_of, write

USERS: dict[str, tuple[Any, bool]] = {
    "nobody": ({}, False),
    "null": (None, False),
    "nobody, as somebody": ({"as": "someone"}, False),
    "token": ({"token": "s3cret"}, True),
    "token of many characters": ({"token": "a.b-c_d~e+f/g=" * 100}, True),
    "token is a number": ({"token": 12345}, False),
    "token with a line": ({"token": "s3cret\nline"}, False),
    "token is null": ({"token": None}, False),
    "token file": ({"tokenFile": "token"}, True),
    "token file before token": ({"tokenFile": "token", "token": "s3cret"}, True),
    "token file that is not there": ({"tokenFile": "nowhere"}, False),
    "token file that is not there, and a token": ({"tokenFile": "nowhere", "token": "s3cret"}, True),
    "token file that is empty": ({"tokenFile": "empty"}, False),
    "token file that is empty, and a token": ({"tokenFile": "empty", "token": "s3cret"}, True),
    "token file is a folder": ({"tokenFile": "other"}, False),
    "basic": ({"username": "me", "password": "s3cret:ü"}, True),
    "user name only": ({"username": "me"}, True),
    "password only": ({"password": "s3cret"}, False),
    "basic and token": ({"username": "me", "password": "s3cret", "token": "s3cret"}, False),
    "basic and token file": ({"username": "me", "password": "s3cret", "tokenFile": "token"}, False),
    "certificate": ({"client-certificate": "client.crt", "client-key": "client.key"}, True),
    "certificate as data": ({"client-certificate-data": "CERT", "client-key-data": "KEY"}, True),
    "certificate in a file, key as data": (
        {"client-certificate": "client.crt", "client-key-data": "KEY"},
        True,
    ),
    "certificate and token": (
        {"client-certificate-data": "CERT", "client-key-data": "KEY", "token": "s3cret"},
        True,
    ),
    "certificate twice": (
        {"client-certificate": "client.crt", "client-certificate-data": "CERT", "client-key-data": "KEY"},
        False,
    ),
    "key twice": (
        {"client-certificate-data": "CERT", "client-key": "client.key", "client-key-data": "KEY"},
        False,
    ),
    "certificate without a key": ({"client-certificate-data": "CERT"}, False),
    "key without a certificate": ({"client-key-data": "KEY", "token": "s3cret"}, True),
    "key of another": ({"client-certificate-data": "CERT", "client-key-data": "OTHERKEY"}, False),
    "key is no PEM": ({"client-certificate-data": "CERT", "client-key-data": "czNjcmV0"}, False),
    "certificate is no base64": ({"client-certificate-data": "s3cret!", "client-key-data": "KEY"}, False),
    "certificate in no file": ({"client-certificate": "no.crt", "client-key": "client.key"}, False),
    "encrypted key": ({"client-certificate-data": "CERT", "client-key": "encrypted.key"}, False),
    "as": ({"token": "s3cret", "as": "someone"}, True),
    "as with blanks and letters": ({"token": "s3cret", "as": "Jürgen of the 名"}, True),
    "as of everything": (
        {
            "token": "s3cret",
            "as": "system:serviceaccount:a:b",
            "as-uid": "u-1",
            "as-groups": ["one", "two", "one", "with, comma"],
            "as-user-extra": {
                "scopes": ["a", "b"],
                "example.com/Reason %": ["why", ""],
                "ümlaut": ["ü"],
                "none": [],
                "null": None,
            },
        },
        True,
    ),
    "as with a certificate": (
        {"client-certificate-data": "CERT", "client-key-data": "KEY", "as": "someone", "as-groups": []},
        True,
    ),
    "as with a line": ({"token": "s3cret", "as": "some\r\none: x"}, False),
    "as is empty": ({"token": "s3cret", "as": ""}, True),
    "as is a number": ({"token": "s3cret", "as": 5}, False),
    "groups without as": ({"token": "s3cret", "as-groups": ["one"]}, False),
    "uid without as": ({"token": "s3cret", "as-uid": "u"}, False),
    "extra without as": ({"token": "s3cret", "as-user-extra": {"a": ["b"]}}, False),
    "groups are text": ({"token": "s3cret", "as": "someone", "as-groups": "one"}, False),
    "group is a number": ({"token": "s3cret", "as": "someone", "as-groups": [5]}, False),
    "extra is a list": ({"token": "s3cret", "as": "someone", "as-user-extra": ["a"]}, False),
    "extra is text": ({"token": "s3cret", "as": "someone", "as-user-extra": {"a": "b"}}, False),
    "user is a list": (["token", "s3cret"], False),
    "user is text": ("s3cret", False),
    "auth provider gcp": ({"auth-provider": {"name": "gcp", "config": {"access-token": "s3cret"}}}, False),
    "auth provider azure": ({"auth-provider": {"name": "azure", "config": {}}}, False),
    "auth provider of nobody": ({"auth-provider": {"name": "s", "config": {}}}, False),
    "auth provider and exec": ("BOTH", False),
    "oidc": ("OIDC", True),
    "oidc that has expired": ("OLD", False),
    "oidc without a token": ("NONE", False),
    "oidc and a token": ("TOKEN", True),
    "extensions": ({"extensions": [{"name": "x", "extension": {}}], "token": "s3cret"}, True),
}


@pytest.mark.parametrize("case", USERS)
def test_users(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user, accepted = USERS[case]
    (world.folder / "empty").touch()
    (world.folder / "token").write_text("from-file\n")
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", world.client.key, "-out", "encrypted.key"],
        cwd=world.folder,
        check=True,
        capture_output=True,
    )
    config = world.folder / "config"
    write(config, cluster_of(world, {}), user_of(world, user))
    found = both(world, monkeypatch, config)
    assert isinstance(found, Seen) == accepted


@pytest.mark.parametrize("case", ["as", "as of everything", "token", "basic", "certificate"])
def test_over_plain_http_no_credentials_are_sent(
    case: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.folder / "config"
    write(config, cluster_of(world, {"server": world.plain.url}), user_of(world, USERS[case][0]))
    found = both(world, monkeypatch, config)
    assert isinstance(found, Seen)
    assert (found.authorization, found.peer) == ("", "")
