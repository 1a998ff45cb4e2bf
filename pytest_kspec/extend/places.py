"""Where something can be added: each kind with what is built in, which is found the same way as what is installed.

What each of them is given and returns stands in docs/extending.md.
"""

from __future__ import annotations

from pytest_kspec.extend.registry import Registry

SOURCES = Registry(
    "kspec.sources",
    "source",
    {
        "argocd": "pytest_kspec.fleet.targets.opening:argocd_source",
        "clusterprofile": "pytest_kspec.fleet.targets.opening:profile_source",
        "context": "pytest_kspec.cluster.sources.live:open_context",
        "manifests": "pytest_kspec.cluster.sources.manifests:open_manifests",
        "snapshot": "pytest_kspec.cluster.sources.snapshot:open_snapshot",
        "target": "pytest_kspec.fleet.targets.opening:target_source",
    },
)
"""`--cluster NAME:REST`: a function of REST and `kubeconfig=` that returns a `Source`."""

REPORTS = Registry(
    "kspec.reports",
    "report format",
    {
        "csv": "pytest_kspec.reports.csv:render",
        "html": "pytest_kspec.reports.html.page:render",
        "intoto": "pytest_kspec.reports.intoto:render",
        "json": "pytest_kspec.reports.json:render",
        "junit": "pytest_kspec.reports.junit:render",
        "markdown": "pytest_kspec.reports.markdown:render",
        "oscal": "pytest_kspec.reports.oscal.document:render",
        "pdf": "pytest_kspec.reports.pdf.document:render",
        "pdf-full": "pytest_kspec.reports.pdf.full:render",
        "sarif": "pytest_kspec.reports.sarif.document:render",
    },
)
"""`--report NAME:FILE`: a function of a `ScanResult`, in canonical order, that returns the whole file."""

CHECKS = Registry(
    "kspec.checks", "package of checks", {"built-in": "pytest_kspec.plan.checkset:builtin_package"}
)
"""Modules of checks, or packages with such modules (`test_*.py`)."""

FRAMEWORKS = Registry(
    "kspec.frameworks", "framework", {"built-in": "pytest_kspec.frameworks.catalog:built_in"}
)
"""A function without arguments that returns the text of a catalog in YAML; ours, which are compiled, all of them."""

ENGINES = Registry(
    "kspec.engines",
    "enforcement engine",
    {
        "kyverno": "pytest_kspec.enforce.engines.kyverno",
        "vap": "pytest_kspec.enforce.engines.vap",
        "webhook": "pytest_kspec.enforce.engines.webhook",
    },
)
"""`kspec enforce --engine NAME`: a module, or an object, with what `enforce.engines.Engine` says."""

COMMANDS = Registry(
    "kspec.commands",
    "command",
    {
        name: f"pytest_kspec.cli.commands.{name}"
        for name in (
            *("init", "validate", "render", "scan", "report", "fix", "enforce", "diff", "evidence", "verify"),
            *(
                "webhook",
                "fleet",
                "drift",
                "dashboard",
                "history",
                "snapshot",
                "checks",
                "explain",
                "frameworks",
                "schema",
                "crds",
            ),
            *("completion", "operator", "cluster", "alert", "audit"),
        )
    },
)
"""`kspec NAME`: a module, or an object, with DESCRIPTION, EXAMPLES, add_arguments(parser) and run(args)."""

SINKS = Registry(
    "kspec.sinks",
    "sink",
    {
        "alert": "pytest_kspec.publish.alerts:Alerts",
        "cr": "pytest_kspec.publish.customresources:ComplianceReports",
        "policyreport": "pytest_kspec.publish.customresources:PolicyReports",
        "store": "pytest_kspec.publish.store:Store",
    },
)
"""`--report NAME:ADDRESS`: a function of ADDRESS and `kubeconfig=` that returns what `publish.sinks.Sink` says."""

NOTIFIERS = Registry(
    "kspec.notifiers",
    "type of notifier",
    {
        name: f"pytest_kspec.alerts.receivers.{name}:deliver"
        for name in ("alertmanager", "email", "pagerduty", "slack", "webhook")
    },
)
"""`custom[].type` of an AlertConfig: a function of an `AlertSending` that sends one message."""

SECRET_STORES = Registry(
    "kspec.secretstores",
    "store of secrets",
    {name: f"pytest_kspec.secretstores.{name}:open_store" for name in ("aws", "file", "kubernetes", "vault")},
)
"""`store` of a reference to a secret: a function without arguments (of the hub, for `kubernetes`) that returns what
`secretstores.stores.Store` says.
"""

ALL = (SOURCES, REPORTS, CHECKS, FRAMEWORKS, ENGINES, COMMANDS, SINKS, NOTIFIERS, SECRET_STORES)
