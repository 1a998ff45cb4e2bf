"""`kspec`: finds the command, and is the one place that turns errors into messages and exit codes.

Only the module of the command that is called is imported: `kspec --help` costs what Python costs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from pytest_kspec import __version__, leaving, starting
from pytest_kspec.cli import output
from pytest_kspec.errors import KspecError, UsageError

if TYPE_CHECKING:
    import argparse

INTERRUPTED = 130
_HOME = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))

COMMANDS = {
    "init": "write a first specification from the current state of a cluster",
    "validate": "validate specifications and exemption files, without a cluster",
    "render": "print a specification merged with its template and bases",
    "scan": "check clusters against specifications",
    "report": "convert a result to other report formats",
    "fix": "write or apply patches that remove findings",
    "enforce": "generate and apply admission policies from a specification",
    "drift": "find what changed in a cluster, and restore policies",
    "diff": "compare two results, snapshots or clusters",
    "evidence": "bundle a result with its inputs, and sign the bundle",
    "verify": "verify an evidence bundle, and replay its scan",
    "webhook": "run an admission webhook that denies violations",
    "operator": "scan and enforce the ClusterSpecifications of a cluster",
    "fleet": "scan many clusters as one run, and report on all of them",
    "dashboard": "show the results of a fleet: table, live screen, or web pages",
    "cluster": "register and manage the clusters of a fleet",
    "audit": "verify audit logs",
    "alert": "test the receivers of alerts, and list alerts",
    "history": "show results over time from a store",
    "snapshot": "record a cluster in a file that can be scanned later",
    "checks": "list all checks",
    "explain": "explain a check: what it examines, why, and how to fix findings",
    "frameworks": "list compliance frameworks and the checks for their controls",
    "schema": "print the JSON Schema of specification files, for editors",
    "crds": "print the custom resource definitions of kspec",
    "completion": "print a completion script for bash, zsh or fish",
    "version": "print the version",
}

HELP = """usage: kspec COMMAND [options]

Compliance as tests for Kubernetes: a specification describes the required state
of a cluster, and kspec reports where the cluster differs from it.

commands:
{commands}

'kspec COMMAND --help' describes a command and shows examples.
pytest can run the same scans: 'pytest --help' lists the options (group kspec).

exit codes: 0 compliant, 1 findings, 2 something could not be evaluated,
4 error in the specification or the command line
"""


class Command(Protocol):
    """What a module of a command has.

    One that has several actions (`args.action`) also has `USES`: action → names of the arguments that it uses. All
    others are refused.
    """

    DESCRIPTION: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. Without words, the process is the command, and may divide (`supervised`)."""
    if argv is not None:
        return _in_process(list(argv))
    leaving.arrange()
    _open_streams()
    code = _supervised(sys.argv[1:])
    leaving.with_code(code)
    return code


def _in_process(words: list[str]) -> int:
    """In a process that goes on afterwards: what a command set up for itself (loggers, signals) is put back."""
    from pytest_kspec.observe import tracing
    from pytest_kspec.session.traces import put_back

    was_traced = tracing.is_on()
    with put_back():
        try:
            return _run(words)
        finally:
            if not was_traced:
                tracing.end()


def _open_streams() -> None:
    """Where the caller closed a standard stream (`>&-`), the next file that is opened would get its number."""
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    except OSError:
        return  # no /dev/null
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            stream = os.fdopen(descriptor, mode, encoding="utf-8")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _supervised(words: list[str]) -> int:
    # These serve, or divide by themselves.
    if words[:1] in (["webhook"], ["operator"], ["fleet"], ["dashboard"]):
        return _or_broken(words)
    starting.begin()
    from pytest_kspec.audit.trail import flush
    from pytest_kspec.supervised import SUPERVISOR

    with SUPERVISOR.armed():
        code = _or_broken(words)
        flush()
    SUPERVISOR.finish(code)
    return code


def _or_broken(words: list[str]) -> int:
    """`_run` of a process. Python ends with 1 where nothing handles an exception, which would say: findings."""
    try:
        if (engine := sys.modules.get("pytest_kspec.storage.engine")) is not None:
            engine.opened.clear()  # of another command in this process
        return _run(words)
    except Exception as error:  # noqa: BLE001 - any defect; it is shown whole, and means that nothing is known
        cause = _damaged_store()
        return output.broken(error) if cause is None else output.fail(cause)


def _damaged_store() -> KspecError | None:
    """What others wrote into a store that this process opened, if they did."""
    if (engine := sys.modules.get("pytest_kspec.storage.engine")) is None:
        return None
    from pytest_kspec.storage.cells import wrong_cell

    files = [address.path for address in engine.opened if address.kind == "sqlite"]
    return next((wrong for path in files if (wrong := wrong_cell(path))), None)


def _run(words: list[str]) -> int:
    try:
        _refuse_a_folder_that_is_gone()
        with _not_from_here():
            code = _dispatch(words)
        output.flush()
        return code
    except KspecError as error:
        return output.fail(error)
    except ModuleNotFoundError as error:
        from pytest_kspec.cli.packages import missing

        what = missing(error, words[0])
        if what is None:
            raise  # a defect, or a package that is broken
        return output.fail(what)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        output.close()  # the reader (`| head`) has enough
        return 0


def _refuse_a_folder_that_is_gone() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("the working directory no longer exists.", fix="Change to another one.") from None


@contextlib.contextmanager
def _not_from_here() -> Iterator[None]:
    """Import nothing from the folder where the command runs, which `python -m` and `python -c` put first.

    It stays only where this package itself was found there.
    """
    first = os.path.realpath(sys.path[0]) if sys.path else ""
    if first == _HOME or first != os.path.realpath(os.curdir):
        yield
        return
    left_out = sys.path.pop(0)
    try:
        yield
    finally:
        sys.path.insert(0, left_out)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if words[1:2] and words[0] == "help":
            return _dispatch([words[1], "--help"])
        widest = max(map(len, COMMANDS))
        listed = "\n".join(f"  {name:<{widest}} {text}" for name, text in COMMANDS.items())
        output.say_text(HELP.format(commands=listed).rstrip("\n"))
        return 0
    name, *rest = words
    if name in ("version", "--version", "-V"):
        output.say(f"kspec {__version__}")
        return 0
    from pytest_kspec.cli.arguments import Parser

    command = _command(name)
    parser = Parser(name, description=command.DESCRIPTION, examples=command.EXAMPLES)
    command.add_arguments(parser)
    try:
        args = parser.parse_intermixed_args(rest)  # `history get --store URL RUN`: options stand anywhere
    except SystemExit:
        return 0  # --help; everything else raises UsageError
    if (uses := getattr(command, "USES", None)) is not None:
        parser.refuse_unused(args, args.action, uses[args.action])
    return command.run(args)


def _command(name: str) -> Command:
    """Ours, or of an installed package, whose code is imported for its own commands only. Raises UsageError."""
    if name in COMMANDS:
        return cast("Command", import_module(f"pytest_kspec.cli.commands.{name}"))
    from pytest_kspec.extend.places import COMMANDS as PLACE

    entry = None if name.startswith("-") else PLACE.find(name)
    if entry is None:
        raise _unknown(name)
    found = PLACE.load_entry(entry)
    missing = [
        part for part in ("DESCRIPTION", "EXAMPLES", "add_arguments", "run") if not hasattr(found, part)
    ]
    if missing:
        raise PLACE.broken(entry, f"it has no {', '.join(missing)}")
    return cast("Command", found)


def _unknown(name: str) -> UsageError:
    from pytest_kspec.cli.arguments import meant

    what = f"unknown option '{name}'." if name.startswith("-") else f"unknown command '{name}'."
    hint = meant(name, [*COMMANDS, "--help", "--version"])
    return UsageError(what, where="kspec", fix=hint or "See 'kspec --help'.")


if __name__ == "__main__":
    sys.exit(main())
