"""Which modules run first: those that take long, so that at the end no worker waits for the other's long one.

`--dist loadscope` keeps the tests of a module in one worker, which modules with a server or a count rely on; by itself
it starts with those that have many tests, and ends with those that take minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONGEST = (
    "hostile/test_terminal.py",
    "hostile/test_leaks.py",
    "hostile/test_leaks_credentials.py",
    "cli/test_cluster_change.py",
    "fleet/targets/test_sources.py",
    "operator/test_targets.py",
    "parity/test_limits.py",
    "webhook/test_live.py",
    "dashboard/test_browser.py",
    "dashboard/test_live.py",
    "dashboard/test_terminal.py",
    "operator/test_live.py",
    "operator/test_faults.py",
    "operator/test_engines.py",
    "operator/test_alerting.py",
    "operator/test_audited.py",
    "operator/test_dashboard.py",
    "observe/test_runbook.py",
    "dashboard/test_hostile.py",
    "operator/test_upgrade.py",
    "observe/test_tracing.py",
    "observe/test_live.py",
    "fleet/test_scan.py",
    "fleet/test_job.py",
    "fleet/test_traps.py",
    "operator/test_fleet_cronjob.py",
    "fleet/test_enforcing.py",
    "fleet/test_webhook.py",
    "operator/test_remote.py",
    "operator/test_jobs.py",
    "operator/test_fleets.py",
    "fleet/test_going_on.py",
    "operator/test_comparing.py",
    "operator/test_drifting.py",
    "cli/test_drift_remediate.py",
    "cli/test_drift.py",
    "cli/test_drift_compared.py",
    "hostile/test_lists.py",
    "alerts/test_receivers.py",
    "alerts/test_kept.py",
    "alerts/test_alertmanager.py",
    "audit/test_trail.py",
    "audit/test_chain.py",
    "plugin/test_alerts.py",
    "hostile/test_bounds.py",
    "docs/test_docs.py",
    "parity/test_exemptions.py",
    "reports/test_html_browser.py",
    "live/test_pod_security_referee.py",
    "cli/test_history.py",
    "cli/test_evidence.py",
    "cli/test_evidence_forged.py",
    "cli/test_foreign_code.py",
    "webhook/test_server.py",
    "live/test_enforce_webhook_live.py",
    "webhook/test_large.py",
    "enforce/test_work.py",
    "webhook/test_live_readers.py",
    "webhook/test_live_requests.py",
    "plugin/test_workers.py",
    "cluster/referee/test_execplugins.py",
    "cluster/referee/test_users.py",
    "cluster/referee/test_clusters.py",
    "plugin/test_run.py",
    "live/test_enforce_live.py",
    "live/test_fixes_referee.py",
    "live/test_pod_security_odd_pods.py",
    "rules/test_cel.py",
    "parity/test_fields.py",
    "parity/test_field_conditions.py",
    "crds/test_compliancereport.py",
    "rules/test_generated_pods.py",
    "live/test_rbac_scopes_referee.py",
    "parity/test_written_cases.py",
    "enforce/test_cel.py",
    "plugin/test_custom_checks.py",
    "plugin/test_scope_and_time.py",
    "plugin/test_store.py",
    "parity/test_generated_pods.py",
    "plugin/test_baseline.py",
    "live/test_yaml_referee.py",
    "storage/test_durability.py",
    "live/test_identity_live.py",
    "live/test_snapshot_equals_live.py",
    "extend/test_example_package.py",
    "evaluate/test_shells.py",
    "cli/test_fix.py",
    "cli/test_scan.py",
    "cli/test_diff.py",
)
"""As measured, longest first; where two are about as long their order means nothing."""

_PLACES = {TESTS / name: place for place, name in enumerate(LONGEST)}
assert all(path.exists() for path in _PLACES), "tests/order.py names a module that is not there"


def longest_first(items: list[pytest.Item]) -> None:
    """Sort; within a module, and among the others, the order stays."""
    items.sort(key=lambda item: _PLACES.get(item.path, len(LONGEST)))
