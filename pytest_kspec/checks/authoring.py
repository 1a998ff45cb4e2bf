"""`@check`: makes a check of a test function, and refuses bad metadata when the module is imported."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pytest_kspec.checks.body import RuleOfCheck, body_of
from pytest_kspec.checks.check import About, Check, RequirementsOf
from pytest_kspec.checks.reads import JUDGED, Judged, judged_by, reads_of
from pytest_kspec.errors import CheckError
from pytest_kspec.regexes import regex
from pytest_kspec.results.verdict import Severity
from pytest_kspec.rules.pods.podsecurity import PodSecurityControl

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "__kspec_check__"
_noted: ContextVar[list[Check] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[list[Check]]:
    """Every check that is made in the block, wherever it is."""
    made: list[Check] = []
    token = _noted.set(made)
    try:
        yield made
    finally:
        _noted.reset(token)


TITLE_LIMIT = 100
_CONSTANTS = frozenset({"LOAD_CONST", "RETURN_CONST"})
_NOTHING = _CONSTANTS | {"RESUME", "NOP", "RETURN_VALUE"}
"""Instructions of a function that does nothing and returns None, in all versions of Python."""
_EMPTY = frozenset(number for name, number in dis.opmap.items() if name in _NOTHING)
_BEGINNINGS = ("CALL", "RAISE_VARARGS", "IMPORT_NAME", "BEFORE_WITH", "LOAD_SPECIAL", "SETUP_WITH")
_REPORTING = frozenset(number for name, number in dis.opmap.items() if name.startswith(_BEGINNINGS))
"""Instructions by which a function may report something: it calls, raises, imports or enters `with`."""
_KIND = regex(r"([a-z0-9.-]+/)?([A-Z][A-Za-z0-9]*|\*)")
_ID = regex(r"[a-zA-Z][\w-]*(\.[a-zA-Z][\w-]*)+(\[[\w./*-]+\])?")


def check(
    *,
    id: str,  # the contract's name, as in pytest.param(id=)
    title: str,
    severity: Literal["low", "medium", "high", "critical"] | Severity,
    remediation: str,
    controls: Mapping[str, Iterable[str]] | None = None,
    key: str | None = None,
    requirements: RequirementsOf | None = None,
    rule: RuleOfCheck | None = None,
    about: About | None = None,
    not_admission: str = "",
    cluster_wide: bool = False,
    reads: Iterable[str] | None = None,
    judges: Judged | None = None,
) -> Callable[[F], F]:
    """Make a compliance check of a test function.

    With `rule`, a function without parameters that contains only a docstring is a complete check: the rule is
    evaluated on workloads or Services, as the rule requires. A function with its own body runs unchanged.

    id:           "<area>.<thing>", letters, digits, `-`, `_`; unique over all checks
    title:        one line of at most 100 characters that states the required state
    severity:     "low", "medium", "high" or "critical"
    remediation:  how to fix a finding
    controls:     catalog id → control ids ({"cis-kubernetes-1.10": ["5.2.2"]})
    key:          key of the specification that requires this check; without it, the check runs for every specification
    requirements: function of the specification that yields the requirements, if one key has several; a
                  `PodSecurityControl` has its own
    rule:         a rule, a `PodSecurityControl`, or a function that makes a rule from the requirement, with the class
                  of that rule as its return annotation; admission policies are generated from it
    about:        restricted field, allowed values and source, for documentation
    not_admission: for a check without a rule: why an admission request does not contain what the check evaluates, in
                  one line; `kspec enforce` shows it with the requirement
    cluster_wide: the check is about the cluster as a whole: `namespaceScope` does not limit it
    reads:        kinds that the check reads in addition to those of its fixtures: "Secret", "apps/Deployment",
                  "policy.example.com/*"; reading any other kind is then an error. For checks that use `cluster`,
                  `resources` or `kube`
    judges:       "object", "namespace" or "cluster": the part of a cluster that the check evaluates by itself; the
                  default is "object" for a check with a rule, and "cluster" for any other

    Raises CheckError, which names check and file, for an invalid id, title or severity, a missing docstring or
    remediation, an invalid rule, or a check with neither a rule nor a body that could report something.
    """
    if isinstance(rule, PodSecurityControl) and key is None and requirements is None:
        requirements = rule.requirements

    def decorate(func: F) -> F:
        if not inspect.isfunction(func):
            caller = sys._getframe(1)
            raise CheckError(
                f"check {id!r}: it is not a function but a {type(func).__name__}.",
                where=f"{caller.f_code.co_filename}:{caller.f_lineno}",
                fix="Put @check on an ordinary function; only pytest marks may stand above it.",
            )
        code = inspect.unwrap(func).__code__
        path, line = Path(code.co_filename), code.co_firstlineno
        problems = []
        if not isinstance(id, str) or not _ID.fullmatch(id):
            problems.append(f"id {id!r} is not of the form 'area.thing' or 'area.thing[part]'.")
        if not isinstance(title, str) or not title.strip() or len(title) > TITLE_LIMIT or "\n" in title:
            problems.append(f"title must be one line of 1 to {TITLE_LIMIT} characters.")
        if severity not in list(Severity):
            allowed = ", ".join(Severity)
            problems.append(f"unknown severity {severity!r}; allowed: {allowed}.")
        if not isinstance(remediation, str) or not remediation.strip():
            problems.append("remediation is empty: describe how to fix a finding.")
        if (
            inspect.isgeneratorfunction(func)
            or inspect.iscoroutinefunction(func)
            or inspect.isasyncgenfunction(func)
        ):
            # Called, such a function does nothing: it would read as a pass.
            problems.append("it must be an ordinary function: no yield, no async def.")
        doc = inspect.cleandoc(func.__doc__ or "")
        if not doc:
            problems.append("it has no docstring: describe why the check matters.")
        bad_controls = [
            name
            for name, ids in (controls or {}).items()
            if isinstance(ids, str) or not all(isinstance(i, str) for i in ids)
        ]
        if bad_controls:
            problems.append(f"controls of {', '.join(bad_controls)} must be a list of control ids.")
        if about is not None and not isinstance(about, About):
            problems.append(f"about must be an About, not {type(about).__name__}.")
        if not isinstance(not_admission, str) or "\n" in not_admission:
            problems.append("not_admission must be one line.")
        elif not_admission and rule is not None:
            problems.append("give either rule or not_admission: admission can see what a rule is about.")
        if key is not None and requirements is not None:
            problems.append("give either key or requirements, not both.")
        if reads is not None and (
            isinstance(reads, str)
            or not all(isinstance(kind, str) and _KIND.fullmatch(kind) for kind in reads)
        ):
            problems.append("reads must be a list of kinds: 'Pod', 'apps/Deployment', 'example.com/*'.")
        if judges not in (None, *JUDGED):
            problems.append(f"judges must be one of {', '.join(JUDGED)}.")
        whole: Callable[..., Any] = func
        if _is_empty(func):
            if rule is None:
                # It would look at nothing and pass, whatever the cluster is like.
                problems.append("its body is empty and it has no rule: it would evaluate nothing.")
            elif inspect.signature(func).parameters:
                problems.append("its body is empty: the rule is its body and needs no parameters.")
            else:
                try:
                    whole = body_of(rule, func)
                except TypeError as error:
                    problems.append(str(error))
        elif not _can_report(func):
            problems.append("its body neither calls nor asserts anything: it would report nothing.")
        if problems:
            raise CheckError(f"check {id!r}: " + " ".join(problems), where=f"{path}:{line}")
        module = sys.modules.get(func.__module__)
        made = Check(
            id=id,
            title=title,
            severity=Severity(severity),
            remediation=remediation,
            func=whole,
            doc=doc,
            controls={name: tuple(ids) for name, ids in (controls or {}).items()},
            key=key,
            requirements=requirements,
            rule=rule,
            about=about,
            not_admission=not_admission,
            module_doc=inspect.cleandoc((module.__doc__ if module else None) or ""),
            path=path,
            line=line,
            cluster_wide=cluster_wide,
            reads=reads_of(whole, reads, is_rule=whole is not func),
            judges=judged_by(rule, judges, cluster_wide=cluster_wide),
        )
        setattr(whole, ATTRIBUTE, made)
        if (noted := _noted.get()) is not None:
            noted.append(made)
        return cast("F", whole)

    return decorate


def _can_report(func: Callable[..., Any]) -> bool:
    """Whether it may report a finding, an error or a skip: each is a call, an assertion or an exception."""
    return not _REPORTING.isdisjoint(func.__code__.co_code[::2])


def _is_empty(func: Callable[..., Any]) -> bool:
    """Whether it holds nothing but a docstring, `pass` or `...`, as compiled."""
    return _EMPTY.issuperset(func.__code__.co_code[::2]) and all(
        one.opname in _NOTHING and not (one.opname in _CONSTANTS and one.argval is not None)
        for one in dis.get_instructions(func)
    )
