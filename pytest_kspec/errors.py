"""One base for every error that a user may see: where, what, what to do, and the exit code of the command.

Library errors are chained (`raise ... from error`) and never shown alone. An error that concerns one cluster or one
requirement becomes an `error` verdict; it never reads as "nothing found".
"""

from __future__ import annotations

EXIT_FINDINGS = 1
EXIT_NOT_EVALUATED = 2
EXIT_USAGE = 4


def without_credentials(text: str) -> str:
    """A message as it may be shown."""
    from pytest_kspec.redaction.text import redact  # compiles patterns, which only runs with messages need

    return redact(text)


def in_one_line(text: str) -> str:
    """A message as it may be shown: a path or a name in it that has a line break begins no other one."""
    return without_credentials(text).replace("\n", "\\n")


class KspecError(Exception):
    """Base error. `where` is a file:line:column, a cluster or an option; `what` happened; `fix` says what to do."""

    exit_code = EXIT_USAGE

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        """What is shown, in one line: without credentials, which may stand in what a file or a server says."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return in_one_line(f"{text} {self.fix}" if self.fix else text)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling.
        return (_rebuild, (type(self), self.what, self.where, self.fix), self.__dict__)


def _rebuild(cls: type[KspecError], what: str, where: str, fix: str) -> KspecError:
    error = cls.__new__(cls)
    KspecError.__init__(error, what, where=where, fix=fix)
    return error


class UsageError(KspecError):
    """An option or argument cannot be used as given."""


class SpecError(KspecError):
    """A specification or exemption file is wrong. `problems` holds every problem found, one line each."""

    def __init__(self, what: str, *, where: str = "", fix: str = "", problems: tuple[str, ...] = ()) -> None:
        self.problems = problems
        super().__init__(what, where=where, fix=fix)

    def __str__(self) -> str:
        return "\n".join(map(in_one_line, self.problems)) if self.problems else super().__str__()


class CheckError(KspecError):
    """A check is written wrongly: duplicate id, no docstring, unknown severity, import failure."""


class SourceError(KspecError):
    """A cluster, or a part of it, could not be read. Checks that need it get the verdict `error`.

    What an API server or a program answered may stand in `what`, so no credentials are kept in it.
    """

    exit_code = EXIT_NOT_EVALUATED

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(without_credentials(what), where=where, fix=fix)


class SourceUnavailable(SourceError):
    """No connection, timeout, broken stream, corrupt snapshot."""


class Unreachable(SourceUnavailable):
    """Nothing of this cluster can be read any more: no connection comes about, or its time is used up."""


class AccessDenied(SourceError):
    """The API server answered 401 or 403. The text names the verb and the resource."""


class NotServed(SourceError):
    """The cluster does not serve (or the snapshot did not record) this kind."""


class NotFound(SourceError):
    """There is no object of this name."""


class Conflict(SourceError):
    """409: others own what an apply would change, the object changed meanwhile, or it already exists.

    managers: the field managers that the API server names, sorted; () where it names none.
    """

    managers: tuple[str, ...] = ()


class StillThere(SourceError):
    """What was deleted waits for its finalizers, and is there until then."""


class Refused(SourceError):
    """The API server understood a write and does not want it: invalid (422), or denied by an admission policy.

    causes: (field, message) as the server gives them; () where it gives one message only.
    """

    causes: tuple[tuple[str, str], ...] = ()


class NotApplicable(KspecError):
    """The source cannot have what a check reads (manifests have no API server): verdict `skip`, with this reason."""


class Malformed(SourceError):
    """An object holds a value of a type that Kubernetes does not allow there."""


class EvidenceError(KspecError):
    """A bundle, or its signature, is not what it says."""

    exit_code = EXIT_FINDINGS


class ReportError(KspecError):
    """A report could not be written; no partial file is left."""

    exit_code = EXIT_NOT_EVALUATED


class StoreError(KspecError):
    """A store of results cannot be reached, read or written."""

    exit_code = EXIT_NOT_EVALUATED


class DamagedObject(StoreError):
    """What was stored is gone or was changed: nobody can read it, now or later, unless it is restored."""


class WrongStore(StoreError):
    """What is there is not a store that this version can use: to wait does not help."""


class NoStore(WrongStore):
    """Where a store should be there is none: no file, or no tables of kspec."""


class NewerStore(WrongStore):
    """A newer version of kspec wrote it."""
