"""What becomes of a request, as data: what was found, what could not be evaluated, what each policy says of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcedRule
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.results.finding import Finding


@dataclass(frozen=True, slots=True)
class Found:
    """One violation of one policy. finding.exemption is set where it is accepted.

    more: violations of the same rule, exempted or not as this one, that are not listed
    """

    policy: Policy
    rule: EnforcedRule
    finding: Finding
    more: int = 0

    @property
    def text(self) -> str:
        """One line for people, with the requirement that it is about."""
        return f"{self.finding.message} [{self.rule.requirement.id}]"


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be evaluated.

    policy:   None where it concerns all of them
    internal: our own fault and not that of the object; only these count for the circuit breaker
    denies:   this alone denies the request
    """

    policy: Policy | None
    requirement_id: str
    what: str
    internal: bool
    denies: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request.

    found:    by policy and rule, open and exempted ones, of all modes
    failures: what could not be evaluated
    others:   what policies deny that are asked for themselves (`by`)
    is_plain: it hangs on the policies, the moment, the namespace and what rules said, and on nothing else of the object
    """

    allowed: bool = True
    found: tuple[Found, ...] = ()
    failures: tuple[Failure, ...] = ()
    resource: ResourceRef = CLUSTER
    others: tuple[Found, ...] = ()
    is_plain: bool = False

    def by(self, policy: Policy) -> Decision:
        """What this policy alone says; what others deny is named with its own denial, and decides nothing."""
        found = tuple(item for item in self.found if item.policy is policy)
        failures = tuple(item for item in self.failures if item.policy in (policy, None))
        denied = any(item.denies for item in failures) or any(
            item.policy.denies and item.finding.exemption is None for item in found
        )
        others = tuple(item for item in self.of(Mode.ENFORCE) if item.policy is not policy)
        return Decision(not denied, found, failures, self.resource, others if denied else ())

    def of(self, mode: Mode) -> list[Found]:
        """Violations of policies of this mode that no exemption covers."""
        return [item for item in self.found if item.policy.mode is mode and item.finding.exemption is None]

    @property
    def exempted(self) -> list[Found]:
        """Violations that exemptions cover."""
        return [item for item in self.found if item.finding.exemption is not None]

    @property
    def is_internal_error(self) -> bool:
        """Whether something went wrong here."""
        return any(failure.internal for failure in self.failures)

    @property
    def failed_open(self) -> bool:
        """Allowed although a policy that enforces could not be evaluated."""
        return self.allowed and any(
            failure.policy is None or failure.policy.mode is Mode.ENFORCE for failure in self.failures
        )

    @property
    def message(self) -> str:
        """Why it is denied: every violation, then what could not be evaluated."""
        denied = [*self.of(Mode.ENFORCE), *self.others]
        lines = [item.text for item in denied]
        lines += [failure.what for failure in self.failures if failure.denies]
        names = sorted({item.policy.name for item in denied})
        names = names or sorted({f.policy.name for f in self.failures if f.denies and f.policy})
        by = f" by {', '.join(names)}" if names else ""
        number = counted(denied)
        count = f"{number} violation{'s' * (number != 1)}: " if denied else ""
        return f"denied{by}: {count}{'; '.join(lines)}"

    @property
    def warnings(self) -> list[str]:
        """What the user is shown though it is allowed: violations of auditing policies, failures."""
        lines = [f"kspec: {item.policy.name}: {item.text}" for item in self.of(Mode.AUDIT)]
        for failure in self.failures:
            if not failure.denies and (failure.policy is None or failure.policy.mode is not Mode.MONITOR):
                name = f"{failure.policy.name}: " if failure.policy else ""
                lines.append(f"kspec: {name}not evaluated: {failure.what}")
        return lines

    @property
    def more_warnings(self) -> int:
        """How many violations of auditing policies are not among `warnings`."""
        return sum(item.more for item in self.of(Mode.AUDIT))


ALLOWED = Decision()


def counted(found: Sequence[Found]) -> int:
    """How many violations these are, with those that are not listed."""
    return len(found) + sum(item.more for item in found)
