"""`kspec cluster discover | list | status`: tables of clusters, which change nothing."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from pytest_kspec.cli.commands.cluster import SOURCES
from pytest_kspec.cli.output import is_interactive, note, say, say_json, say_yaml
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_kspec.errors import KspecError
    from pytest_kspec.fleet.targets.hub import Hub
    from pytest_kspec.fleet.targets.look import Look
    from pytest_kspec.fleet.targets.model import Target

NONE = "<none>"
UNKNOWN = "unknown"

Row = dict[str, Any]


def discover(args: argparse.Namespace) -> int:
    """The contexts of the kubeconfig, under the names that `add` would give them. Nothing is connected to."""
    from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
    from pytest_kspec.fleet.targets.contexts import auth_of, context_targets
    from pytest_kspec.kube.objectnames import context_name

    if args.names or args.selector:
        raise UsageError("discover lists all contexts.", where="kspec cluster discover")
    known = read_kubeconfig(args.kubeconfig)
    rows: list[Row] = [
        {
            "name": context_name(target.name),
            "context": target.name,
            "server": target.server or UNKNOWN,
            "auth": auth_of(known, target.name),
            "problem": str(target.problem) if target.problem else "",
        }
        for target in context_targets(args.kubeconfig)
    ]
    if args.output in ("", "table", "wide"):
        say(f"Discovered {len(rows)} cluster(s)")
        say()
    columns = {"NAME": "name", "CONTEXT": "context", "API SERVER": "server", "AUTH": "auth"}
    _print(args.output, rows, columns, {"PROBLEM": "problem"})
    return 0


def listed(args: argparse.Namespace) -> int:
    """Clusters as the hub last saw them."""
    targets = chosen(args)
    rows = [{**_described(target), **_last_seen(target)} for target in targets]
    columns = {
        "NAME": "name",
        "API SERVER": "server",
        "REACHABLE": "reachable",
        "VERSION": "version",
        "PLATFORM": "platform",
        "NODES": "nodes",
        "ENFORCE": "allowEnforcement",
    }
    wide = {
        "UNREACHABLE SINCE": "unreachableSince",
        "CREDENTIALS EXPIRE": "credentialsExpire",
        "UID": "uid",
        "SOURCE": "source",
        "LABELS": "labels",
        "PROBLEM": "problem",
    }
    _print(args.output, rows, columns, wide)
    return _said_problems([target for target in targets if target.problem])


def status(args: argparse.Namespace) -> int:
    """Clusters as they answer now: two names of one cluster are one line, and the other says so."""
    from pytest_kspec.fleet.targets.look import look_at_all
    from pytest_kspec.fleet.targets.model import one_of_each

    targets = chosen(args)
    looks = look_at_all([target for target in targets if not target.suspended], at_rest=True)
    _, same = one_of_each([look.target.found(look.uid) for look in looks if look.reachable])
    rows = [
        {**_described(look.target), **_seen(look), "sameAs": same.get(look.target.name, "")} for look in looks
    ]
    rows += [
        {**_described(target), "reachable": None, "reason": "suspended"}
        for target in targets
        if target.suspended
    ]
    columns = {
        "NAME": "name",
        "REACHABLE": "reachable",
        "CREDENTIALS": "credentialsValid",
        "VERSION": "version",
        "PLATFORM": "platform",
        "NODES": "nodes",
        "SAME AS": "sameAs",
    }
    wide = {
        "API SERVER": "server",
        "UID": "uid",
        "CREDENTIALS EXPIRE": "credentialsExpire",
        "SECRETS ENCRYPTED": "secretsEncrypted",
        "SECONDS": "seconds",
    }
    _print(args.output, rows, columns, wide)
    failed = [look for look in looks if not look.reachable]
    for look in failed:
        say_problem(look.target.name, look.problem)
    return EXIT_NOT_EVALUATED if failed else 0


def chosen(args: argparse.Namespace) -> list[Target]:
    """The clusters that the words mean. Raises UsageError, and what reading the hub raises."""
    from pytest_kspec.fleet.targets.find import Wanted, find_targets

    sources = tuple(SOURCES[name] for name in dict.fromkeys(args.sources)) or ("target",)
    wanted = Wanted(tuple(args.names), args.selector, args.kubeconfig, sources, args.namespace)
    return find_targets(wanted, hub_of(args) if set(sources) != {"context"} else None)


def hub_of(args: argparse.Namespace) -> Hub:
    """The hub that the words mean. Raises UsageError."""
    from pytest_kspec.fleet.targets.hub import open_hub

    return open_hub(args.hub, args.kubeconfig)


def _described(target: Target) -> Row:
    return {
        "name": target.name,
        "source": target.origin,
        "ref": target.ref,
        "server": target.server,
        "uid": target.uid or "",
        "labels": dict(target.labels or {}),
        "suspended": target.suspended,
        "allowEnforcement": target.allow_enforcement,
        "problem": str(target.problem) if target.problem else "",
        "note": target.note,
    }


def _last_seen(target: Target) -> Row:
    """What the hub's controller wrote; None is not known."""
    seen = target.seen
    return {
        "reachable": seen.get("reachable"),
        "version": seen.get("version", ""),
        "platform": seen.get("platform", ""),
        "nodes": seen.get("nodeCount"),
        "lastChecked": seen.get("lastChecked", ""),
        "unreachableSince": seen.get("unreachableSince", ""),
        "credentialsExpire": seen.get("credentialsExpire", ""),
        "consecutiveFailures": seen.get("consecutiveFailures", 0),
    }


def _seen(look: Look) -> Row:
    from pytest_kspec.fleet.targets.credentials import as_time

    return {
        "reachable": look.reachable,
        "credentialsValid": look.valid,
        "version": look.version,
        "platform": look.platform,
        "nodes": look.nodes,
        "uid": look.uid,
        "credentialsExpire": as_time(look.expires) if look.expires else "",
        "secretsEncrypted": look.at_rest,
        "seconds": round(look.seconds, 2),
        "reason": str(look.problem) if look.problem else "",
        "checked": as_time(time.time()),
    }


def _said_problems(targets: Sequence[Target]) -> int:
    for target in targets:
        say_problem(target.name, target.problem)
    return EXIT_NOT_EVALUATED if targets else 0


def say_problem(name: str, problem: KspecError | None) -> None:
    """An error of one cluster, which is named once."""
    text = str(problem)
    if problem is not None and problem.where == name:
        text = text.removeprefix(f"{name}: ")
    note(f"{printable(name)}: {printable(text)}")  # a name of another program's object may have line ends


def _print(output: str, rows: list[Row], columns: dict[str, str], wide: dict[str, str]) -> None:
    """columns, wide: header → key of a row."""
    if output == "json":
        import json

        say_json(json.dumps(rows, indent=2) + "\n")
    elif output == "yaml":
        from pytest_kspec.enforce.manifests import to_yaml

        say_yaml(to_yaml([{"clusters": rows}]))
    elif output == "name":
        for row in rows:
            say(printable(row["name"]))
    else:
        shown = columns | (wide if output == "wide" else {})
        cells = [[_cell(row.get(key)) for key in shown.values()] for row in rows]
        for line in table(list(shown), cells, fit(output)):
            say(line)


def table(headers: list[str], rows: list[list[str]], fit: int = 0) -> list[str]:
    """Lines in columns as kubectl's: as wide as their widest cell, three spaces between them.

    fit: cells that a terminal has; long names and addresses are shortened to that, but not what the last column says
    """
    from pytest_kspec.reports.shared.text import elide, padded, width_of

    widths = [max(map(width_of, column)) for column in zip(headers, *rows, strict=True)]
    gap = " " * (3 if not fit or sum(widths) + 3 * (len(widths) - 1) <= fit else 2)
    while fit and (excess := sum(widths) + len(gap) * (len(widths) - 1) - fit) > 0:
        longest = max(range(len(widths) - 1), key=lambda at: widths[at])
        if widths[longest] <= _SHORTEST:
            break
        rest = sorted(widths[:-1])[-2] if len(widths) > 2 else 0
        widths[longest] = max(_SHORTEST, min(widths[longest] - 1, max(widths[longest] - excess, rest)))
    made = []
    for line in (headers, *rows):
        cells = [padded(elide(cell, width), width) for cell, width in zip(line[:-1], widths, strict=False)]
        made.append(gap.join([*cells, line[-1]]).rstrip())
    return made


_SHORTEST = 14
"""Cells of a column that is shortened."""


def fit(output: str) -> int:
    """What a table has to fit into: a terminal, and nothing where a program reads it or all was asked for."""
    looked_at = is_interactive(sys.stdout) and output != "wide"
    return shutil.get_terminal_size((80, 24)).columns if looked_at else 0


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ",".join(f"{printable(key)}={printable(one)}" for key, one in sorted(value.items())) or NONE
    return printable(str(value)) or NONE
