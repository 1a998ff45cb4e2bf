"""`kspec alert`: try the receivers of an AlertConfig, and list the alerts that a store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import say, say_json, style, width
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.alerts.alert import Fact
    from pytest_kspec.alerts.deliver import Delivered

DESCRIPTION = """\
Test the receivers of alerts, and list alerts. 'kspec scan --alert FILE --store URL' and pytest send them.

  kspec alert test FILE  send a test alert, and its end, to every notifier
  kspec alert list       print active alerts of a store (--all: ended ones too)

Exit codes: 0 every notifier accepted both messages, or the alerts were listed; 2 a notifier did not, or the
store could not be read; 4 usage error."""

EXAMPLES = """
kspec alert test alerts.yaml
kspec alert test alerts.yaml --notifier pagerduty
kspec alert list --store results.db --cluster prod-eu
"""

ACTIONS = ("test", "list")
USES = {
    "test": frozenset({"file", "notifier"}),
    "list": frozenset({"file", "store", "cluster", "spec", "all", "output"}),
}
"""Action → the arguments that it uses."""
WITHIN_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("action", choices=ACTIONS, help="test or list")
    parser.add_argument(
        "file", nargs="?", default="", metavar="FILE", help="with test: file with an AlertConfig"
    )
    parser.add_argument(
        "--notifier",
        action="append",
        default=[],
        metavar="NAME",
        help="with test: only this notifier; may be repeated",
    )
    arguments.add_store(parser, "with list: the store, FILE.db or postgresql://USER@HOST/DATABASE")
    parser.add_argument(
        "--cluster", metavar="NAME", default="", help="with list: only this cluster: name or UID"
    )
    parser.add_argument("--spec", metavar="NAME", default="", help="with list: only this specification")
    parser.add_argument(
        "--all", action="store_true", help="with list: also list those that ended within 7 days"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="with list: text (default) or json"
    )


def run(args: argparse.Namespace) -> int:
    """Do it. Raises UsageError, SpecError, StoreError."""
    return _test(args) if args.action == "test" else _list(args)


def _test(args: argparse.Namespace) -> int:
    from pytest_kspec.alerts.configfile import load_config
    from pytest_kspec.alerts.guard import guard_of_environment
    from pytest_kspec.alerts.secrets import Referenced
    from pytest_kspec.alerts.trial import try_out
    from pytest_kspec.secretstores.stores import Secrets

    if not args.file:
        raise UsageError(
            "a file with an AlertConfig is required.", where="kspec alert test", fix="Name a file."
        )
    plan = load_config(args.file)
    known = [route.name for route in plan.receivers]
    for name in args.notifier:
        if name not in known:
            raise UsageError(
                f"there is no enabled notifier '{name}'.",
                where=f"{args.file}: --notifier",
                fix=f"There are: {', '.join(known) or 'none'}.",
            )
    if not known:
        raise UsageError("no notifier is enabled.", where=args.file)
    sent = try_out(
        plan, args.notifier or known, Referenced(Secrets()), guard_of_environment(loopback=True), WITHIN_S
    )
    for name in args.notifier or known:
        _say(name, [one for one in sent if one.made.receiver == name])
    return EXIT_NOT_EVALUATED if any(one.problem for one in sent) else 0


def _say(name: str, sent: list[Delivered]) -> None:
    problems = [one.problem for one in sent if one.problem]
    if problems:
        say(f"{style('✗', 'red')} {name}: {problems[0].removeprefix(f'the notifier {name}: ')}")
    else:
        say(f"{style('✓', 'green')} {name}: accepted the alert and its end")


def _list(args: argparse.Namespace) -> int:
    import json
    from contextlib import closing

    from pytest_kspec.alerts.alert import read_facts
    from pytest_kspec.storage import alerts as stored
    from pytest_kspec.storage.engine import open_store

    if args.file:
        raise UsageError(f"'{args.file}' is not used by list.", where="kspec alert list", fix="Leave it out.")
    if not args.store:
        raise UsageError("no store is given.", where="kspec alert list", fix="Give --store URL.")
    with closing(open_store(args.store, option="--store")) as store:
        known = stored.load(store)
        facts = read_facts(known.alerts.values(), store.address.shown)
    chosen = [
        fact
        for fact in facts
        if (args.all or not fact.resolved_at)
        and args.cluster in ("", fact.alert.cluster, fact.alert.cluster_id)
        and args.spec in ("", fact.alert.spec)
    ]
    chosen.sort(key=lambda fact: (bool(fact.resolved_at), fact.started_at, fact.alert.cluster, fact.alert.id))
    if args.output == "json":
        say_json(json.dumps([_wire(fact) for fact in chosen], indent=2, ensure_ascii=False) + "\n")
        return 0
    for fact in chosen:
        _say_fact(fact)
    if not chosen:
        if not known.alerts and not known.told:
            say(
                "No alert is known: only runs with --alert create alerts. 'kspec history --findings' lists findings."
            )
        else:
            say("No alert is listed." if args.all else "No alert is active as of the last run with --alert.")
    return 0


def _wire(fact: Fact) -> dict[str, object]:
    alert = fact.alert
    return {
        "id": alert.id,
        "state": fact.state,
        "event": alert.event,
        "severity": alert.level.value if alert.level else None,
        "cluster": alert.cluster,
        "clusterId": alert.cluster_id,
        "spec": alert.spec,
        "about": alert.about,
        "title": alert.title,
        "startedAt": fact.started_at,
        "resolvedAt": fact.resolved_at or None,
    }


def _say_fact(fact: Fact) -> None:
    """Three lines: what it is, where and since when, and its id, which no terminal cuts."""
    from pytest_kspec.reports.shared.text import elide, printable
    from pytest_kspec.shown import inert

    alert = fact.alert
    colours = {"critical": ("red", "bold"), "warning": ("yellow",), "info": ("cyan",)}
    level = alert.level.value if alert.level else "default"
    until = f", ended {fact.resolved_at}" if fact.resolved_at else ""
    since = f"since {fact.started_at}{until}"
    blank = " " * 9
    room = max(20, width() - len(blank))
    # As they are written: escapes take room.
    what = elide(inert(f"{alert.event}: {printable(alert.title)}"), room)
    where = elide(inert(printable(f"{alert.spec} on {alert.cluster}")), max(10, room - len(since) - 2))
    say(f"{style(f'{level:<8}', *colours.get(level, ()))} {what}")
    say(f"{blank}{since}  {where}")
    say(f"{blank}{alert.id}")
