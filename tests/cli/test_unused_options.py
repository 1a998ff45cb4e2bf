"""Options that an action does not use were meant for something: they are refused, and nothing is done."""

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from pytest_kspec.cli.arguments import Parser
from pytest_kspec.cli.main import COMMANDS

from .conftest import SPEC, Kspec


def _commands() -> list[tuple[str, Parser, dict[str, frozenset[str]]]]:
    found = []
    for name in COMMANDS:
        if name == "version":
            continue
        command = import_module(f"pytest_kspec.cli.commands.{name}")
        parser = Parser(name, description="", examples="")
        command.add_arguments(parser)
        if any(action.dest == "action" and action.choices for action in parser._actions):
            found.append((name, parser, getattr(command, "USES", {})))
    return found


SEVERAL = [(name, parser, uses) for name, parser, uses in _commands() if name != "audit"]  # it has one action


def test_the_commands_of_several_actions_are_known() -> None:
    assert [name for name, _, _ in SEVERAL] == ["drift", "fleet", "cluster", "alert", "history"]


@pytest.mark.parametrize(("name", "parser", "uses"), SEVERAL, ids=[one[0] for one in SEVERAL])
def test_each_action_says_what_it_uses(
    name: str, parser: argparse.ArgumentParser, uses: dict[str, frozenset[str]]
) -> None:
    (actions,) = (action.choices for action in parser._actions if action.dest == "action")
    assert actions is not None
    assert sorted(uses) == sorted(actions)
    options = {action.dest for action in parser._actions} - {"action", "help"}
    assert frozenset().union(*uses.values()) == options  # none is unknown, and none is used by nothing


def _words(action: argparse.Action) -> list[str]:
    option = next(text for text in action.option_strings if text.startswith("--"))
    if action.nargs == 0:
        return [option]
    value = list(action.choices)[-1] if action.choices else "7"
    return [option, str(value)]


REFUSED = [
    pytest.param(name, action, _words(option), id=f"{name} {action} {_words(option)[0]}")
    for name, parser, uses in SEVERAL
    for action in sorted(uses)
    for option in parser._actions
    if option.option_strings and option.dest not in {"help", *uses[action]}
]


@pytest.mark.parametrize(("name", "action", "words"), REFUSED)
def test_an_option_of_another_action_is_refused(
    kspec: Kspec, name: str, action: str, words: list[str]
) -> None:
    said = kspec(name, action, *words)
    assert said.code == 4
    assert f"'{words[0]}' has no effect with '{action}'" in said.err
    assert said.out == ""


def test_what_is_left_out_of_a_deletion_is_refused(kspec: Kspec, tmp_path: Path) -> None:
    """Of `history prune --cluster old`, --cluster was ignored, and the runs of all clusters were deleted."""
    said = kspec("history", "prune", "--store", str(tmp_path / "s.db"), "--cluster", "old", "--keep", "1d")
    assert (said.code, said.out) == (4, "")
    assert "'--cluster' has no effect with 'prune'" in said.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("cluster add a --argocd-namespace x", "'--argocd-namespace' has no effect without --from-argocd"),
        ("cluster add a -l env=prod", "'--selector' has no effect without --from-argocd"),
        ("cluster add a --from targets", "clusters are added from contexts, or from Argo CD"),
        ("cluster add a --from argocd --from contexts", "clusters are added from contexts, or from Argo CD"),
        ("cluster add --from-argocd --from contexts", "clusters are added from contexts, or from Argo CD"),
        ("cluster discover --from argocd --from contexts", "'--from' has no effect with 'discover'"),
        ("cluster disable a --engine vap", "'--engine' has no effect with 'disable'"),
        (
            f"enforce {SPEC} -o - --mode audit --kyverno-api clusterpolicy",
            "'--kyverno-api' has no effect with",
        ),
        (
            f"enforce {SPEC} -o - --mode audit --webhook-cert-manager",
            "'--webhook-cert-manager' has no effect",
        ),
        (f"drift detect {SPEC} --engine vap --webhook-url https://x", "'--webhook-url' has no effect with"),
        (f"drift detect {SPEC} --watch-interval 1m", "'--watch-interval' has no effect without --watch"),
        (f"fleet scan {SPEC} --context a --queue x", "'--queue' has no effect without --engine job"),
        (f"fleet scan {SPEC} --context a --namespace x", "'--namespace' has no effect without --engine job"),
        (f"fleet scan {SPEC} --context a --parallelism 5", "'--parallelism' has no effect without"),
        (
            f"fleet scan {SPEC} --context a --no-wait --report csv:x",
            "'--report' has no effect with --no-wait",
        ),
        (f"fleet scan {SPEC} --context a --no-wait --hub-reports", "'--hub-reports' has no effect with"),
        ("fleet report --namespace x", "'--namespace' has no effect without --engine job or --hub-reports"),
        ("fleet report --hub-budget 5", "'--hub-budget' has no effect without --hub-reports"),
        (f"fleet enforce {SPEC} --context a --mode audit --image x", "'--image' has no effect without"),
        (
            f"fleet enforce {SPEC} --context a --mode audit --kyverno-api clusterpolicy",
            "'--kyverno-api' has no",
        ),
    ],
)
def test_an_option_without_what_it_is_about_is_refused(kspec: Kspec, words: str, error: str) -> None:
    said = kspec(*words.split())
    assert (said.code, said.out) == (4, "")
    assert error in said.err


@pytest.mark.parametrize(
    ("words", "option", "without"),
    [
        (("--port", "9000"), "--port", "--serve"),
        (("--no-auth",), "--no-auth", "--serve"),
        (("--watch", "--tls-cert", "x.pem"), "--tls-cert", "--serve"),
        (("--proxy-from", "10.0.0.0/8"), "--proxy-from", "--serve"),
        (("--interval", "5"), "--interval", "--watch"),
        (("--serve", "--interval", "5"), "--interval", "--watch"),
    ],
    ids=str,
)
def test_what_the_terminal_does_not_use(
    kspec: Kspec, words: tuple[str, ...], option: str, without: str
) -> None:
    said = kspec("dashboard", "--store", "s.db", *words)
    assert (said.code, said.out) == (4, "")
    assert f"{option} has no effect without {without}. Leave it out, or add {without}." in said.err


@pytest.mark.parametrize("option", ["--cluster", "--checks", "--exemptions"])
def test_of_a_result_nothing_is_scanned(kspec: Kspec, option: str) -> None:
    said = kspec("fix", "--from", "result.json", option, "x")
    assert said.code == 4
    assert f"{option}: it has no effect on a result that is read. Leave out --from or {option}." in said.err
