"""An argument parser that exits as the contract says (4 for usage), and suggests what was meant."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from typing import TYPE_CHECKING, NoReturn

from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_kspec.results.result import ScanResult

WIDTH = 79


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps names such as in-cluster whole: they are copied from here."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of exiting: one place prints errors and knows exit codes."""

    def __init__(self, command: str, *, description: str, examples: str) -> None:
        super().__init__(
            prog=f"kspec {command}",
            description=_wrapped(description),
            epilog=f"examples:\n{_indent(examples)}",
            formatter_class=_Help,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and what may have been meant."""
        fix = ""
        unknown = re.match(r"unrecognized arguments: (-\S+)", message)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            fix = meant(unknown[1].partition("=")[0], options)
        raise UsageError(f"{message}.", where=self.prog, fix=fix or f"See '{self.prog} --help'.")

    def refuse_unused(
        self, args: argparse.Namespace, action: str, used: Iterable[str], *, without: str = ""
    ) -> None:
        """What was given and has no effect was meant for something. Raises UsageError.

        action:  what does not use it
        used:    names in `args` of all that the action uses
        without: the option that would use it
        """
        known = {"action", *used}
        for one in self._actions:
            value = getattr(args, one.dest, one.default)
            if one.dest in known or value == one.default or value in ([], ""):
                continue
            option = next((text for text in one.option_strings if text.startswith("--")), "")
            if not option:
                raise UsageError(
                    f"unexpected argument '{value if isinstance(value, str) else value[0]}'.",
                    where=f"{self.prog} {action}",
                )
            if without:
                raise UsageError(
                    f"{option} has no effect without {without}.",
                    where=f"{self.prog} {action}".rstrip(),
                    fix=f"Leave it out, or add {without}.",
                )
            raise UsageError(
                f"'{option}' has no effect with '{action}'.",
                where=self.prog,
                fix=f"Leave it out; see '{self.prog} --help'.",
            )


def meant(word: str, known: list[str]) -> str:
    """`Did you mean 'scan'?`, or "" if nothing is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def add_specs(
    parser: argparse.ArgumentParser, text: str = "specification: a file, folder or glob pattern"
) -> None:
    """Specifications as arguments or with -s. text: what one may be."""
    parser.add_argument("specs", nargs="*", metavar="SPEC", help=text)
    parser.add_argument(
        "-s", "--spec", action="append", default=[], metavar="SPEC", help="same as SPEC; may be repeated"
    )


def read_specs(args: argparse.Namespace) -> list[str]:
    """What `add_specs` was given. Raises UsageError if that is nothing."""
    specs = [*args.spec, *args.specs]
    if not specs:
        raise UsageError("no specification is given.", fix="Name one, or write one with 'kspec init'.")
    return specs


def add_checks(parser: argparse.ArgumentParser) -> None:
    """The user's own checks."""
    parser.add_argument(
        "--checks",
        action="append",
        default=[],
        metavar="PATH",
        help="file or folder of your own checks; may be repeated",
    )


def add_exemptions(parser: argparse.ArgumentParser) -> None:
    """Files of exemptions."""
    parser.add_argument(
        "--exemptions",
        action="append",
        default=[],
        metavar="PATH",
        help="file with more exemptions; may be repeated",
    )


def add_allow_empty(
    parser: argparse.ArgumentParser,
    what: str = "a cluster or folder in which a specification finds nothing to evaluate",
) -> None:
    """Whether nothing to evaluate is an error."""
    parser.add_argument("--allow-empty", action="store_true", help=f"{what} is not an error")


def empty_problems(result: ScanResult, args: argparse.Namespace) -> list[str]:
    """What to say, as errors, of a result of which nothing was evaluated; nothing where that was allowed."""
    if args.allow_empty:
        return []
    from pytest_kspec.reports.shared.words import nothing_evaluated

    return [
        f"{nothing_evaluated(cluster)} If this is intended, add --allow-empty." for cluster in result.empty
    ]


def add_kubeconfig(parser: argparse._ActionsContainer) -> None:
    """Where clusters are known."""
    parser.add_argument(
        "--kubeconfig", metavar="PATH", help="kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)"
    )


def add_store(parser: argparse.ArgumentParser, text: str) -> None:
    """A store of results."""
    parser.add_argument("--store", metavar="URL", default="", help=text)


def _wrapped(text: str) -> str:
    """Paragraphs in WIDTH columns; a paragraph with an indented line is laid out by its author already."""
    paragraphs = text.strip("\n").split("\n\n")
    return "\n\n".join(
        part if re.search(r"^ ", part, re.MULTILINE) else textwrap.fill(part, WIDTH, break_on_hyphens=False)
        for part in paragraphs
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
