"""`kspec operator`: its options, those of v0.3's manager among them, and what is refused before anything is started."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pytest

from pytest_kspec.cli.arguments import Parser
from pytest_kspec.cli.commands import operator as command
from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.operator.lease import LostLease
from tests.cli.conftest import Kspec
from tests.cluster.api import Api, group_version, kubeconfig, status

V03 = [
    *("--metrics-bind-address=:8080", "--health-probe-bind-address=:8081", "--leader-elect"),
    *("--enable-webhooks=false", "--leader-election-namespace=x", "--leader-election-lease-duration=15s"),
    *("--leader-election-renew-deadline=10s", "--leader-election-retry-period=2s", "--zap-devel=false"),
    *(
        "--zap-encoder=json",
        "--zap-log-level=debug",
        "--zap-stacktrace-level=error",
        "--zap-time-encoding=iso8601",
    ),
]


def parsed(*words: str) -> argparse.Namespace:
    parser = Parser("operator", description="", examples="")
    command.add_arguments(parser)
    return parser.parse_args(list(words))


def test_flags_of_v03_are_known_and_those_without_effect_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    args = parsed(*V03)
    assert (args.leader_elect, args.zap_devel, args.zap_log_level) == (True, False, "debug")
    with caplog.at_level(logging.WARNING):
        command._note_ignored(args)
    named = [record.getMessage().partition(" ")[0] for record in caplog.records]
    assert named == ["--zap-stacktrace-level"]
    assert (args.zap_encoder, args.zap_time_encoding) == ("json", "iso8601")


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("--enable-webhooks", True),
        ("--enable-webhooks=true", True),
        ("--enable-webhooks=False", False),
        ("--enable-webhooks=0", False),
    ],
)
def test_a_switch_without_effect_is_named_where_it_is_on(
    word: str, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        command._note_ignored(parsed(word, "--leader-elect"))
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == (
        ["--enable-webhooks"] if named else []
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], True),
        (["--leader-elect"], True),
        (["--leader-elect=false"], False),
        (["--leader-elect=0"], False),
        (["--leader-elect=TRUE"], True),
    ],
)
def test_switches_are_as_in_go(words: list[str], expected: bool) -> None:
    assert parsed(*words).leader_elect is expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("1m30s", 90), ("1.5s", 1.5), ("250ms", 0.25), ("2h", 7200)]
)
def test_durations(text: str, seconds: float) -> None:
    assert command.seconds(text, "--x") == seconds


@pytest.mark.parametrize("text", ["", "15", "0s", "s", "-1s", "1d", "9999999h", "1s1m"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--x: "):
        command.seconds(text, "--x")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--leader-election-lease-duration=5s"], "must be longer than the renew deadline"),
        (["--max-concurrent-scans=0"], "0 is not a number from 1 to 64"),
        (["--store-reports=x"], "reports can only be kept together with a store"),
        (["--store=ftp://x"], "--store"),
        (["--cluster=nope"], "'nope' is neither a path nor a kubeconfig context"),
        (["--scan-interval=soon"], "'soon' is not a duration"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_asked(
    tmp_path: Path, words: list[str], expected: str
) -> None:
    more = [f"--kubeconfig={kubeconfig(tmp_path, 'http://127.0.0.1:9')}"]
    more += [] if "--cluster=nope" in words else ["--cluster=prod"]
    with pytest.raises(UsageError, match=expected):
        command._options(parsed(*more, *words))


def test_who_does_not_lead_writes_nothing_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/a/configmaps/m"
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a"}}
    kinds = {"/api/v1": group_version(("configmaps", "ConfigMap", True))}
    with Api({**kinds, path: status(503, "busy")}) as api:
        config = f"--kubeconfig={kubeconfig(tmp_path, api.url)}"
        for elect, error, sent in (("true", LostLease, 0), ("false", SourceUnavailable, 1)):
            options = command._options(parsed("--cluster=prod", config, f"--leader-elect={elect}"))
            with pytest.raises(error):
                options.access.do(lambda writer: writer.apply(made))
            assert len(api.paths(path)) == sent


def test_the_command_says_so(run_kspec: Kspec, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, "http://127.0.0.1:9")
    said = run_kspec(
        "operator",
        "--kubeconfig",
        config,
        "--cluster=prod",
        "--health-probe-bind-address=8081",
        "--metrics-bind-address=0",
    )
    assert (said.code, said.out) == (4, "")
    assert "--health-probe-bind-address: '8081' is not an address." in said.err
