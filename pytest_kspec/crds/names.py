"""Names of the custom resources of kspec, for those who need no more of them: their models take time to import."""

from __future__ import annotations

from collections.abc import Mapping

GROUP = "kspec.io"
VERSION = "v1alpha1"
NAMESPACE = "kspec-system"
"""Where kspec's own objects are, unless something else is said."""

LABEL_SPEC = "kspec.io/cluster-spec"
LABEL_CLUSTER = "kspec.io/cluster-name"
LABEL_TYPE = "kspec.io/report-type"
ANNOTATION_VERSION = "kspec.io/version"
"""The user's version of a ClusterSpecification, which has no `metadata.version` in a cluster."""


def of_any_cluster(labels: Mapping[str, str]) -> str:
    """The selector of reports with these labels, whatever their cluster was called when they were written."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != LABEL_CLUSTER)
