"""`kspec completion`: what a shell needs to complete commands, options and paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_kspec.cli.output import say_text

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cli.main import Command

DESCRIPTION = """\
Print a completion script for a shell. It completes commands, options and paths.

bash: eval "$(kspec completion bash)" in ~/.bashrc
zsh:  kspec completion zsh > a file _kspec in a folder of $fpath
fish: kspec completion fish > ~/.config/fish/completions/kspec.fish"""

EXAMPLES = """
kspec completion bash
kspec completion zsh > "${fpath[1]}/_kspec"
kspec completion fish > ~/.config/fish/completions/kspec.fish
"""

SHELLS = ("bash", "zsh", "fish")
# What an argument is, by the name that --help gives it.
_FILES = {"SPEC", "PATH", "FILE", "FILE|RUN", "BUNDLE", "PUB", "KEY", "A", "B", "REF", "URL", "PLACE"}
_FOLDERS = {"DIR"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    say_text(shtab.complete(_parser(), args.shell).rstrip("\n"))
    return 0


def _parser() -> argparse.ArgumentParser:
    """All commands as one parser. It is only looked at: each command parses its own words."""
    import argparse
    from importlib import import_module

    from pytest_kspec.cli.main import COMMANDS

    parser = argparse.ArgumentParser(prog="kspec")
    parser.add_argument("--version", action="store_true", help=COMMANDS["version"])
    commands = parser.add_subparsers()
    for name, text in COMMANDS.items():
        made = commands.add_parser(name, help=text, description=text)
        if name != "version":
            cast("Command", import_module(f"pytest_kspec.cli.commands.{name}")).add_arguments(made)
            _complete_paths(made)
    return parser


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if action.choices is None and action.metavar in _FILES | _FOLDERS:
            kind = shtab.DIRECTORY if action.metavar in _FOLDERS else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # shtab's way to say it
