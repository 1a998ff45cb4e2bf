"""What became of a cluster in a run over a fleet: every cluster has exactly one outcome."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """scanned: there is a result, whatever it says. duplicate: another name of the same cluster has it.

    All others are errors, of which the reason says more: unreachable: no answer in time; refused: the credentials
    are not accepted; failed: what the run was given cannot be opened, or the scan did not come to its end; not-scanned:
    no worker scanned it.
    """

    SCANNED = "scanned"
    DUPLICATE = "duplicate"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_SCANNED = "not-scanned"

    @property
    def is_error(self) -> bool:
        """Nothing is known of the cluster."""
        return self not in (Outcome.SCANNED, Outcome.DUPLICATE)
