"""Exec plugins: what is accepted of them, what they are told, and when they do not run."""

import json
from typing import Any

import pytest

from tests.cluster.referee.world import PLUGIN, Seen, World, both, cluster_of, prints, script, user_of, write

PLUGINS: dict[str, tuple[dict[str, Any], str, bool]] = {
    # name: what is different in `exec`, the script, accepted
    "token": ({}, prints({"token": "from-plugin"}), True),
    "v1beta1": (
        {"apiVersion": f"{PLUGIN}beta1"},
        prints({"token": "t"}, f"{PLUGIN}beta1"),
        True,
    ),
    "v1beta1, no mode": (
        {"apiVersion": f"{PLUGIN}beta1", "interactiveMode": None},
        prints({"token": "t"}, f"{PLUGIN}beta1"),
        True,
    ),
    "v1alpha1": ({"apiVersion": f"{PLUGIN}alpha1"}, prints({"token": "t"}, f"{PLUGIN}alpha1"), False),
    "no version": ({"apiVersion": None}, prints({"token": "t"}), False),
    "another version comes": ({}, prints({"token": "t"}, f"{PLUGIN}beta1"), False),
    "no mode": ({"interactiveMode": None}, prints({"token": "t"}), False),
    "mode of nobody": ({"interactiveMode": "Sometimes"}, prints({"token": "t"}), False),
    "mode Always without a terminal": ({"interactiveMode": "Always"}, prints({"token": "t"}), False),
    "mode IfAvailable": ({"interactiveMode": "IfAvailable"}, prints({"token": "t"}), True),
    "arguments": (
        {"args": ["a b", "c"]},
        f'test "$1" = "a b" && test "$2" = c && {prints({"token": "t"})}',
        True,
    ),
    "environment": (
        {"env": [{"name": "MODE", "value": "x y"}, {"name": "EMPTY"}]},
        f'test "$MODE" = "x y" && {prints({"token": "t"})}',
        True,
    ),
    "environment without a name": ({"env": [{"value": "x"}]}, prints({"token": "t"}), False),
    "environment is a mapping": ({"env": {"MODE": "x"}}, prints({"token": "t"}), False),
    "arguments are text": ({"args": "a b"}, prints({"token": "t"}), False),
    "standard input is empty": ({}, f'test -z "$(cat)" && {prints({"token": "t"})}', True),
    "no credentials": ({}, prints({}), False),
    "no status": ({}, f'echo \'{{"apiVersion": "{PLUGIN}", "kind": "ExecCredential"}}\'', False),
    "no JSON": ({}, "echo s3cret", False),
    "nothing": ({}, "true", False),
    "fails": ({}, f"{prints({'token': 't'})}; exit 3", False),
    "a certificate": ({}, "CERTIFICATE", True),
    "a certificate without its key": ({}, prints({"clientCertificateData": "x"}), False),
    "a certificate that is none": ({}, prints({"clientCertificateData": "x", "clientKeyData": "x"}), False),
    "expires": ({}, prints({"token": "t", "expirationTimestamp": "2999-01-01T00:00:00Z"}), True),
    "expires at no time": ({}, prints({"token": "t", "expirationTimestamp": "soon"}), False),
    "no command": ({"command": None}, prints({"token": "t"}), False),
    "command that is not there": ({"command": "./nowhere"}, "", False),
    "command of no path": ({"command": "kspec-no-such-program"}, "", False),
}


@pytest.mark.parametrize("case", PLUGINS)
def test_exec_plugins(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, text, accepted = PLUGINS[case]
    if text == "CERTIFICATE":
        pair = [path.read_text() for path in world.client]
        text = prints({"clientCertificateData": pair[0], "clientKeyData": pair[1]}).replace("\\n", "\\\\n")
        text = text.replace("\\\\n", "\\n").replace("echo", "printf '%s'")
    script(world.folder / "login", text)
    plugin = {"command": "./login", "apiVersion": PLUGIN, "interactiveMode": "Never", **changes}
    plugin = {name: value for name, value in plugin.items() if value is not None}
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {"exec": plugin, "as": "someone"})
    assert isinstance(both(world, monkeypatch, config), Seen) == accepted


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({}, {}),
        ({"proxy-url": "SOCKSPROXY", "tls-server-name": "localhost", "disable-compression": True}, {}),
        ({"certificate-authority-data": None, "certificate-authority": "ca.crt"}, {}),
        ({"certificate-authority-data": None, "insecure-skip-tls-verify": True}, {}),
        ({"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]}, {}),
    ],
)
def test_what_an_exec_plugin_is_told(
    cluster: dict[str, Any], user: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.folder / "told"
    script(world.folder / "login", f'echo "$KUBERNETES_EXEC_INFO" >>{told}\n{prints({"token": "t"})}')
    plugin = {
        "command": "./login",
        "apiVersion": PLUGIN,
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    config = world.folder / "config"
    write(config, cluster_of(world, cluster), {"exec": plugin, **user})
    told.write_text("")
    assert isinstance(both(world, monkeypatch, config), Seen)
    ours, theirs = (json.loads(line) for line in told.read_text().split("\n") if line)
    assert ours == theirs


@pytest.mark.parametrize(
    "user",
    [
        {"token": "s3cret"},
        {"username": "me", "password": "s3cret"},
        {"client-certificate-data": "CERT", "client-key-data": "KEY"},
    ],
)
def test_an_exec_plugin_does_not_run_beside_other_credentials(
    user: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.folder / "told"
    told.unlink(missing_ok=True)
    script(world.folder / "login", f"touch {told}; exit 1")
    plugin = {"command": "./login", "apiVersion": PLUGIN, "interactiveMode": "Never"}
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {**user_of(world, user), "exec": plugin})
    assert isinstance(both(world, monkeypatch, config), Seen)
    assert not told.exists()
    write(config, cluster_of(world, {"server": world.plain.url}), {"exec": plugin})
    assert isinstance(both(world, monkeypatch, config), Seen)
    assert not told.exists()
