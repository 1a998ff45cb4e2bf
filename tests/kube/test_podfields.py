"""The table of Pod fields: keys, levels, types, and what is said about keys that no Pod has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.kube.podfields import pod_field, suggest


@pytest.mark.parametrize(
    ("key", "level", "kind"),
    [
        ("image", "container", "string"),
        ("imagePullPolicy", "container", "string"),
        ("livenessProbe", "container", "Probe"),
        ("livenessProbe.periodSeconds", "container", "int"),
        ("securityContext.runAsNonRoot", "container", "bool"),
        ("securityContext.capabilities.drop", "container", "[]string"),
        ("securityContext.seccompProfile.type", "container", "string"),
        ("resources.limits.memory", "container", "quantity"),
        ("resources.limits.nvidia.com/gpu", "container", "quantity"),
        ("ports.hostPort", "container", "int"),
        ("ports[*].hostPort", "container", "int"),
        ("hostNetwork", "pod", "bool"),
        ("automountServiceAccountToken", "pod", "bool"),
        ("securityContext.fsGroup", "pod", "int"),
        ("spec.securityContext.runAsNonRoot", "pod", "bool"),
        ("spec.resources.limits.memory", "pod", "quantity"),
        ("restartPolicy", "pod", "string"),
        ("nodeSelector.kubernetes.io/os", "pod", "string"),
        ("volumes.image.reference", "pod", "string"),
        ("hostUsers", "pod", "bool"),
    ],
)
def test_fields_that_a_pod_has(key: str, level: str, kind: str) -> None:
    field = pod_field(key)
    assert field is not None
    assert (field.level, field.type) == (level, kind)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("securityContext.hostNetwork", "hostNetwork"),
        ("securityContext.hostPID", "hostPID"),
        ("capabilities.drop", "securityContext.capabilities.drop"),
        ("readOnlyRootFilesystem", "securityContext.readOnlyRootFilesystem"),
        ("securityContext.readOnlyRootFileSystem", "securityContext.readOnlyRootFilesystem"),
        ("runAsNonRoot", "securityContext.runAsNonRoot"),
        ("limits.memory", "resources.limits.memory"),
        ("resource.limits.memory", "resources.limits.memory"),
        ("livenessprobe", "livenessProbe"),
        ("hostPort", "ports.hostPort"),
        ("containers.image", "image"),
        ("spec.containers[*].securityContext.privileged", "securityContext.privileged"),
        ("initContainers[*].image", "image"),
        ("metadata.labels.team", None),
        ("init", None),
    ],
)
def test_a_key_that_no_pod_has_is_refused_with_what_was_meant(key: str, meant: str | None) -> None:
    assert pod_field(key) is None
    assert suggest(key) == meant
    assert meant is None or pod_field(meant) is not None


@given(st.text(max_size=30))
def test_any_text_is_a_field_or_none(text: str) -> None:
    field = pod_field(text)
    if field is not None:
        assert field.path
    else:
        assert suggest(text) is None or pod_field(suggest(text)) is not None
