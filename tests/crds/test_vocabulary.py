"""The fields that users of v0.3 know: each is still there, with a type that takes what it took."""

from functools import cache
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pytest_kspec.crds.schema import validations
from pytest_kspec.crds.schema.definitions import DEFINITIONS, Definition, manifest

_REF = "clusterSpecRef{name,version} clusterName clusterUID"
_SECRET = "{name,namespace,key}"
FIELDS = {
    "ClusterSpecification": """
        spec.kubernetes{minVersion,maxVersion,excludedVersions[]}
        spec.podSecurity{enforce,audit,warn} spec.podSecurity.exemptions[]{namespace,level,reason}
        spec.network{defaultDeny,allowedServiceTypes[],disallowedPorts[]}
        spec.network.requiredPolicies[]{name,description}
        spec.workloads.containers.required[]{key,value,exists}
        spec.workloads.containers.forbidden[]{key,value,exists}
        spec.workloads.images{allowedRegistries[],blockedRegistries[],requireDigests,requireSignatures}
        spec.rbac.minimumRules[]{apiGroup,resource,verbs[]} spec.rbac.forbiddenRules[]{apiGroup,resource,verbs[]}
        spec.admission.required[]{type,namePattern,minCount} spec.admission.policies{minCount}
        spec.admission.policies.requiredPolicies[]{name}
        spec.observability.metrics{required,providers[]}
        spec.observability.logging.auditLog{required,minRetentionDays}
        spec.compliance.frameworks[]{name,revision} spec.compliance.frameworks[].controls[]{id,title}
        spec.compliance.frameworks[].controls[].mappings[]{check}
        spec.clusterRef{name,namespace} spec.enforcement{enabled,mode,autoRemediate}
        spec.webhooks{enabled,failurePolicy,timeoutSeconds} spec.webhooks.certificate{issuer,issuerKind}
        spec.policyTemplate{name,parameters} spec.policyInheritance{basePolicies[],mergeStrategy}
        spec.namespaceScope{includeNamespaces[],excludeNamespaces[]}
        spec.namespaceScope.namespaceSelector{matchLabels}
        spec.namespaceScope.namespaceSelector.matchExpressions[]{key,operator,values[]}
        spec.timeBasedActivation{enabled,schedule,timezone}
        spec.timeBasedActivation.activePeriods[]{startTime,endTime,daysOfWeek[],startDate,endDate}
        spec.policyExemptions[]{name,reason,expiresAt,namespaces[],approver}
        spec.policyExemptions[].resources[]{kind,name,namespace,labelSelector}
        status{phase,observedGeneration,lastScanTime,complianceScore}
        status.conditions[]{type,status,reason,message,lastTransitionTime,observedGeneration}
        status.summary{totalChecks,passedChecks,failedChecks,policiesEnforced,driftEvents}
        status.enforcement{active,mode,policiesGenerated,lastEnforcementTime}
        status.webhooks{active,certificateReady,errorRate,circuitBreakerTripped}
    """,
    "ClusterTarget": f"""
        spec{{apiServerURL,authMode,caData,insecureSkipTLSVerify,proxyURL,allowEnforcement,scanInterval}}
        spec.kubeconfigSecretRef{_SECRET} spec.serviceAccountSecretRef{_SECRET} spec.tokenSecretRef{_SECRET}
        status{{reachable,lastChecked,version,uid,platform,nodeCount,observedGeneration}} status.conditions[]{{type}}
    """,
    "ComplianceReport": """
        spec.clusterSpecRef{name,version} spec{clusterName,clusterUID,scanTime}
        spec.summary{total,passed,failed,passRate}
        spec.results[]{name,category,status,severity,message,details} status{phase,reportURL}
    """,
    "DriftReport": """
        spec.clusterSpecRef{name,version} spec{clusterName,clusterUID,detectionTime,driftDetected,severity}
        spec.events[]{type,severity,driftType,check,message,expected,actual}
        spec.events[].resource{kind,name,namespace} spec.events[].remediation{action,status,appliedAt,error}
        status{phase,totalEvents,remediatedEvents,pendingEvents}
    """,
    "AlertConfig": f"""
        spec{{enabled,defaultSeverity}} spec.slack{{enabled,webhookURL,channel,username,iconEmoji,events[]}}
        spec.slack.webhookURLSecretRef{_SECRET}
        spec.webhooks[]{{name,url,method,headers,template,events[],retryAttempts,timeoutSeconds}}
        spec.webhooks[].urlSecretRef{_SECRET} spec.webhooks[].headersSecretRef{_SECRET}
        spec.routes[]{{match,notifiers[],continue}}
        status{{lastAlertTime,alertsSent,alertsFailed,notifierStatus}} status.conditions[]{{type}}
    """,
}
ENUMS = {
    ("DriftReport", "spec.events[].remediation.action"): "create update delete report manual-required skip",
    (
        "DriftReport",
        "spec.events[].remediation.status",
    ): "success failed pending manual-required remediated detected",
    ("DriftReport", "spec.events[].driftType"): "deleted modified violation missing extra",
    ("ComplianceReport", "spec.results[].status"): "Pass Fail Error",
    ("ClusterSpecification", "status.phase"): "Pending Active Failed",
    ("ComplianceReport", "status.phase"): "Pending Completed Failed",
    ("DriftReport", "status.phase"): "Pending InProgress Completed Failed",
}
OPTIONAL = {
    "kubernetes", "network.defaultDeny", "workloads.images.requireDigests", "workloads.images.requireSignatures",
    "podSecurity.enforce", "podSecurity.audit", "podSecurity.warn", "podSecurity.exemptions[].reason",
    "admission.required[].minCount", "observability.logging.auditLog.required",
    "observability.logging.auditLog.minRetentionDays",
}  # fmt: skip


def paths(text: str) -> list[str]:
    found = []
    for word in text.split():
        head, brace, rest = word.partition("{")
        found += [f"{head}.{name}" for name in rest.rstrip("}").split(",")] if brace else [head]
    return found


def models(model: type[BaseModel], found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in found:
        found.add(model)
        for field in model.model_fields.values():
            for inner in models_in(field.annotation):
                models(inner, found)
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for argument in get_args(annotation) for inner in models_in(argument)]


def test_what_a_model_checks_across_fields_is_said_to_the_server() -> None:
    for definition in DEFINITIONS:
        for model in models(definition.spec, set()) | models(definition.status, set()):
            if model.__pydantic_decorators__.model_validators:
                assert model.__name__ in {*validations.RULES, *validations.MODELS}, model


@cache
def schema_of(definition: Definition) -> dict[str, Any]:
    return manifest(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def at(definition: Definition, path: str) -> dict[str, Any]:
    found = schema_of(definition)
    for part in path.split("."):
        name = part.removesuffix("[]")
        assert name in found["properties"], f"{path}: no {name}"
        found = found["properties"][name]
        if part.endswith("[]"):
            assert found["type"] == "array", path
            found = found["items"]
    return found


@pytest.mark.parametrize("kind", FIELDS)
def test_no_field_was_lost(kind: str) -> None:
    (definition,) = (d for d in DEFINITIONS if d.kind == kind)
    for path in paths(FIELDS[kind]):
        assert at(definition, path).get("description", path.endswith("[]")), f"{path} has no description"


@pytest.mark.parametrize(("kind", "path"), ENUMS)
def test_no_value_was_lost(kind: str, path: str) -> None:
    (definition,) = (d for d in DEFINITIONS if d.kind == kind)
    assert set(ENUMS[kind, path].split()) <= set(at(definition, path)["enum"])


def test_what_is_optional_in_files_is_optional() -> None:
    (definition,) = (d for d in DEFINITIONS if d.kind == "ClusterSpecification")
    for path in OPTIONAL:
        parent, _, name = f"spec.{path}".rpartition(".")
        assert name not in at(definition, parent).get("required", ()), path


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
def test_every_key_is_described(definition: Definition) -> None:
    schema = schema_of(definition)["properties"]
    assert list(_undescribed(schema["spec"], "spec")) == []
    assert list(_undescribed(schema["status"], "status")) == []


def _undescribed(schema: dict[str, Any], path: str) -> list[str]:
    found = []
    for name, inner in schema.get("properties", {}).items():
        found += [] if inner.get("description") else [f"{path}.{name}"]
        found += _undescribed(inner, f"{path}.{name}")
    return found + (_undescribed(schema["items"], path) if "items" in schema else [])
