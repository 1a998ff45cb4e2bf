"""Whose an object is, as far as it says so itself: admission cannot look up the owner of its owner.

A scan follows owner references up to the Deployment or CronJob. Of a pod these are known by how the controllers name
what they make: a ReplicaSet is named after its Deployment and the hash that its pods carry as a label, a Job after its
CronJob and a number. Where a scan would find an owner above those, an exemption that names it does not apply here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_kspec.kube.reference import ResourceRef

HASH_LABEL = "pod-template-hash"
CRONJOB_SUFFIX = "^.+-[0-9]{8,10}$"
"""Names of Jobs that CronJobs make: minutes, or seconds, since 1970."""

_JOB_NAME = re.compile(CRONJOB_SUFFIX)


def admitted_owner(
    resource: ResourceRef, labels: Mapping[str, str], controller: ResourceRef | None
) -> ResourceRef:
    """The owner of an object that is admitted.

    labels:     of the object
    controller: its owner reference with `controller: true`, in the object's namespace; None if it has none
    """
    if controller is None or controller.kind == "Node":  # mirror pods belong to themselves
        return resource
    name = controller.name
    suffix = f"-{labels.get(HASH_LABEL, '')}"
    if controller.kind == "ReplicaSet" and suffix != "-" and name.endswith(suffix):
        return ResourceRef(
            controller.api_version, "Deployment", controller.namespace, name.removesuffix(suffix)
        )
    if controller.kind == "Job" and _JOB_NAME.fullmatch(name):
        return ResourceRef(controller.api_version, "CronJob", controller.namespace, name.rpartition("-")[0])
    return controller
