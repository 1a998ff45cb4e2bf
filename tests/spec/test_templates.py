from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import LoadedSpec, load_spec, spec_from_part
from pytest_kspec.spec.templates import Template, builtin, builtin_names, template_of
from pytest_kspec.yamlfiles.reading import parse_document

SPEC = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a, version: 1.0.0}\nspec:\n"
TEMPLATE = "apiVersion: kspec.dev/v1\nkind: PolicyTemplate\nmetadata: {name: house}\n"


def problems(error: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return list(error.value.problems) or [str(error.value)]


def template_problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        template_of(parse_document(TEMPLATE + text, "t.yaml"))
    return problems(error)


def load(folder: Path, part: str, template: str = "", place: str = "templates/house.yaml") -> LoadedSpec:
    if template:
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(TEMPLATE + template)
    (folder / "a.yaml").write_text(SPEC + part)
    return load_spec(folder / "a.yaml")


def load_problems(folder: Path, part: str, template: str = "") -> list[str]:
    with pytest.raises(SpecError) as error:
        load(folder, part, template)
    return [text.replace(f"{folder}/", "") for text in problems(error)]


class TestBuiltin:
    @pytest.mark.parametrize("name", builtin_names())
    def test_it_is_right_in_itself_and_in_use(self, name: str) -> None:
        template = builtin(name)
        assert (template.name, bool(template.description)) == (name, True)
        assert all(parameter.description for parameter in template.parameters.values())
        loaded = spec_from_part(f"policyTemplate: {{name: {name}}}")
        assert loaded.spec.pod_security
        assert loaded.spec.policy_template is None

    @pytest.mark.parametrize("name", builtin_names())
    def test_each_parameter_has_an_effect(self, name: str) -> None:
        """Parameters of the predecessor's templates changed nothing."""
        usual = spec_from_part({"policyTemplate": {"name": name}}).tree.plain()
        other: dict[str, Any] = {"bool": False, "array": ["other"], "string": "restricted", "int": 1}
        for parameter in builtin(name).parameters.values():
            value = not parameter.default if parameter.type == "bool" else other[parameter.type]
            part = {"policyTemplate": {"name": name, "parameters": {parameter.name: value}}}
            assert spec_from_part(part).tree.plain() != usual, parameter.name

    def test_security_baseline(self) -> None:
        loaded = spec_from_part("policyTemplate: {name: security-baseline}")
        assert loaded.tree.plain()["workloads"] == {
            "containers": {
                "required": [
                    {"key": "securityContext.runAsNonRoot", "value": True},
                    {"key": "securityContext.allowPrivilegeEscalation", "value": False},
                ],
                "forbidden": [
                    {"key": "securityContext.privileged", "value": True},
                    {"key": "hostNetwork", "value": True},
                    {"key": "hostPID", "value": True},
                    {"key": "hostIPC", "value": True},
                ],
            }
        }

    def test_a_rule_that_a_parameter_turns_off_is_left_out(self) -> None:
        loaded = spec_from_part(
            "policyTemplate: {name: security-baseline, parameters:"
            " {runAsNonRoot: false, allowPrivilegeEscalation: true, exemptNamespaces: []}}"
        )
        assert loaded.get("workloads.containers.required") == []
        assert loaded.exemptions == []

    def test_compliance_strict_without_digests(self) -> None:
        loaded = spec_from_part(
            "policyTemplate: {name: compliance-strict, parameters:"
            " {requireDigests: false, allowedRegistries: [registry.example.com]}}"
        )
        assert loaded.get("workloads.images.requireDigests") is False
        assert loaded.get("workloads.images.allowedRegistries") == ["registry.example.com"]
        assert loaded.get("podSecurity.enforce") == "restricted"
        assert loaded.get("observability.logging.auditLog.required") is True

    def test_what_the_specification_says_holds(self) -> None:
        loaded = spec_from_part(
            "policyTemplate: {name: compliance-strict}\n"
            "podSecurity: {enforce: baseline}\n"
            "workloads: {containers: {required: [{key: resources.limits.cpu, exists: false}]}}\n",
            path="s.yaml",
        )
        assert (loaded.get("podSecurity.enforce"), loaded.get("podSecurity.audit")) == (
            "baseline",
            "restricted",
        )
        limits = [r for r in loaded.get("workloads.containers.required") if r.key == "resources.limits.cpu"]
        assert [(r.value, r.exists) for r in limits] == [(None, False)]
        assert loaded.locate("podSecurity.enforce") == "s.yaml:2:15"
        assert loaded.locate("podSecurity.audit").startswith("<compliance-strict>:")


class TestOwn:
    BODY = (
        "parameters:\n"
        "- {name: registry, type: string, required: true}\n"
        "- {name: port, type: int, default: 22}\n"
        "- {name: digests, type: bool, default: true}\n"
        "- {name: providers, type: array}\n"
        "spec:\n"
        "  network: {disallowedPorts: ['{{ port }}']}\n"
        "  workloads:\n"
        "    images: {requireDigests: '{{digests}}', allowedRegistries: ['{{ registry }}/team-{{port}}']}\n"
        "  observability: {metrics: {required: true, providers: '{{ providers }}'}}\n"
    )

    def test_values_keep_their_type(self, tmp_path: Path) -> None:
        loaded = load(
            tmp_path,
            "  policyTemplate: {name: house, parameters: {registry: r.example.com, port: 8}}",
            self.BODY,
        )
        assert loaded.tree.plain() == {
            "network": {"disallowedPorts": [8]},
            "workloads": {"images": {"requireDigests": True, "allowedRegistries": ["r.example.com/team-8"]}},
            "observability": {"metrics": {"required": True}},
        }

    def test_places(self, tmp_path: Path) -> None:
        loaded = load(
            tmp_path,
            "  policyTemplate: {name: house, parameters: {registry: r.example.com, port: 8}}",
            self.BODY,
        )
        template, spec = tmp_path / "templates" / "house.yaml", tmp_path / "a.yaml"
        assert loaded.locate("workloads.images.requireDigests") == f"{template}:12:14"
        assert loaded.locate("workloads.images.allowedRegistries[0]") == f"{template}:12:65"
        assert loaded.locate("network.disallowedPorts[0]") == f"{spec}:5:77"  # the parameter's value
        assert loaded.files == (str(spec), str(template))

    @pytest.mark.parametrize("place", ["templates/house.yaml", "house.yml"])
    def test_it_is_found_beside_the_specification(self, tmp_path: Path, place: str) -> None:
        assert load(
            tmp_path, "  policyTemplate: {name: house, parameters: {registry: x.io}}", self.BODY, place
        ).spec.network

    def test_it_is_found_by_path(self, tmp_path: Path) -> None:
        (tmp_path / "specs").mkdir()
        (tmp_path / "house.yaml").write_text(TEMPLATE + self.BODY)
        part = "  policyTemplate: {name: ../house.yaml, parameters: {registry: x.io}}"
        assert load(tmp_path / "specs", part).files[1] == str(tmp_path / "house.yaml")
        assert load_problems(tmp_path, "  policyTemplate: {name: templates/x.yaml}") == [
            "a.yaml:5:26: the file templates/x.yaml does not exist."
        ]

    def test_paths_of_checks_are_relative_to_the_template(self, tmp_path: Path) -> None:
        body = "parameters: [{name: d, type: string, default: x}]\nspec: {checks: ['{{ d }}/t.py']}\n"
        loaded = load(tmp_path, "  policyTemplate: {name: house}", body)
        assert [path.resolve() for path in loaded.checks] == [tmp_path / "templates" / "x" / "t.py"]

    def test_parameters_are_checked(self, tmp_path: Path) -> None:
        part = "  policyTemplate:\n    name: house\n    parameters:\n      port: many\n      digest: true\n"
        assert load_problems(tmp_path, part, self.BODY) == [
            "a.yaml:5:3: spec.policyTemplate.parameters: the template 'house' requires the parameter 'registry'.",
            "a.yaml:8:13: spec.policyTemplate.parameters.port: must be an integer, found 'many'.",
            "a.yaml:9:7: spec.policyTemplate.parameters.digest: the template 'house' does not have this parameter."
            " Did you mean 'digests'?",
        ]

    @pytest.mark.parametrize(
        ("kind", "value", "wrong"),
        [
            ("string", "7", "must be a string, found 7."),
            ("string", "true", "must be a string, found true."),
            ("int", "true", "must be an integer, found true."),
            ("int", "'07'", "must be an integer, found '07'."),
            ("bool", "'True'", "must be true or false, found 'True'."),
            ("bool", "yes", "must be true or false, found 'yes'."),
            ("array", "a", "must be a list, found 'a'."),
            ("array", "[[a]]", "must be a list, found a list."),
        ],
    )
    def test_types(self, tmp_path: Path, kind: str, value: str, wrong: str) -> None:
        body = f"parameters: [{{name: p, type: {kind}}}]\nspec: {{clusterRef: '{{{{ p }}}}'}}\n"
        assert load_problems(
            tmp_path, f"  policyTemplate: {{name: house, parameters: {{p: {value}}}}}", body
        ) == [f"a.yaml:5:49: spec.policyTemplate.parameters.p: {wrong}"]

    def test_text_that_says_a_value_is_one(self, tmp_path: Path) -> None:
        """As in custom resources of old, whose parameters are texts."""
        body = (
            "parameters: [{name: port, type: int}, {name: on, type: bool}]\n"
            "spec: {network: {defaultDeny: '{{ on }}', disallowedPorts: ['{{ port }}']}}\n"
        )
        part = "  policyTemplate: {name: house, parameters: {port: '22', on: 'false'}}"
        network = load(tmp_path, part, body).spec.network
        assert network is not None
        assert (network.default_deny, network.disallowed_ports) == (False, [22])

    def test_allowed_values(self, tmp_path: Path) -> None:
        body = (
            "parameters: [{name: p, type: string, default: low, allowedValues: [low, high]}]\n"
            "spec: {clusterRef: '{{ p }}'}\n"
        )
        assert load_problems(tmp_path, "  policyTemplate: {name: house, parameters: {p: hihg}}", body) == [
            "a.yaml:5:49: spec.policyTemplate.parameters.p: 'hihg' is not allowed; allowed: low, high."
            " Did you mean 'high'?"
        ]

    def test_what_a_value_leads_to_is_checked_where_it_is_written(self, tmp_path: Path) -> None:
        part = "  policyTemplate: {name: house, parameters: {registry: x.io, port: 70000}}"
        assert load_problems(tmp_path, part, self.BODY) == [
            "a.yaml:5:68: spec.network.disallowedPorts[0]: must be at most 65535, found 70000."
        ]

    def test_a_mistake_in_a_template_is_shown_there(self, tmp_path: Path) -> None:
        body = (
            "parameters: [{name: p, type: int, default: 1}]\nspec: {network: {disalowedPorts: ['{{ p }}']}}\n"
        )
        assert load_problems(tmp_path, "  policyTemplate: {name: house}", body) == [
            "templates/house.yaml:5:18: spec.network.disalowedPorts: unknown key. Did you mean 'disallowedPorts'?"
        ]

    def test_text_needs_a_value(self, tmp_path: Path) -> None:
        body = "parameters: [{name: p, type: string}, {name: l, type: array, default: [a]}]\n" + (
            "spec: {clusterRef: 'x-{{ p }}', checks: ['{{ l }}/a']}\n"
        )
        assert load_problems(tmp_path, "  policyTemplate: {name: house}", body) == [
            "templates/house.yaml:5:20: the parameter 'p' is part of a text and has no value: add a default.",
            "templates/house.yaml:5:42: the list 'l' cannot be part of a text.",
        ]

    def test_conditions(self, tmp_path: Path) -> None:
        body = (
            "parameters: [{name: a, type: array}, {name: b, type: bool, default: true}]\n"
            "spec:\n"
            "  network: {when: '{{ b }}', defaultDeny: true}\n"
            "  podSecurity: {unless: '{{ b }}', enforce: baseline}\n"
            "  kubernetes: {when: '{{ a }}', minVersion: '1.30'}\n"
        )
        asked = "  policyTemplate: {name: house, parameters: %s}"
        assert load(tmp_path, asked % "{}", body).tree.plain() == {"network": {"defaultDeny": True}}
        assert load(tmp_path, asked % "{b: false, a: [x]}", body).tree.plain() == {
            "podSecurity": {"enforce": "baseline"},
            "kubernetes": {"minVersion": "1.30"},
        }
        assert load_problems(
            tmp_path,
            "  policyTemplate: {name: house}",
            "parameters: [{name: b, type: bool}]\nspec: {network: {when: 'not {{ b }}', defaultDeny: true}}\n",
        ) == ["templates/house.yaml:5:24: when: must be exactly one parameter, such as '{{ name }}'."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "parameters: [{name: a, type: text}]\nspec: {}\n",
            ["t.yaml:4:30: parameters[0].type: 'text' is not allowed; allowed: string, int, bool, array."],
        ),
        (
            "parameters: [{name: a, type: int, default: x}]\nspec: {clusterRef: '{{ a }}'}\n",
            ["t.yaml:4:35: parameters[0].default: must be an integer, found 'x'."],
        ),
        (
            "parameters: [{name: a, type: int, default: 3, allowedValues: [1, 2]}]\nspec: {clusterRef: '{{ a }}'}\n",
            ["t.yaml:4:35: parameters[0].default: 3 is not allowed; allowed: 1, 2."],
        ),
        (
            "parameters: [{name: a, type: int, allowedValues: [x]}]\nspec: {clusterRef: '{{ a }}'}\n",
            ["t.yaml:4:51: parameters[0].allowedValues[0]: must be an integer, found 'x'."],
        ),
        (
            "parameters: [{name: a, type: int, required: true, default: 1}]\nspec: {clusterRef: '{{ a }}'}\n",
            ["t.yaml:4:51: parameters[0].default: has no effect, because a value is required."],
        ),
        (
            "parameters: [{name: a b, type: int}]\nspec: {}\n",
            ["t.yaml:4:15: parameters[0].name: 'a b' is not a valid name; use letters, digits, - and _."],
        ),
        (
            "parameters: [{name: used, type: int}]\nspec: {clusterRef: '{{ usde }}'}\n",
            [
                "t.yaml:4:21: parameters[0].name: spec does not use 'used', so it has no effect.",
                "t.yaml:5:20: spec.clusterRef: 'usde' is not a parameter of this template. Did you mean 'used'?",
            ],
        ),
        (
            "parameters: [{name: a, type: int}, {name: a, type: int}]\nspec: {clusterRef: '{{ a }}'}\n",
            ["t.yaml:4:43: parameters[1].name: 'a' occurs twice."],
        ),
        (
            "spec: {clusterRef: '{{ a.b }}'}\n",
            ["t.yaml:4:20: spec.clusterRef: a parameter must be written as {{ name }}."],
        ),
        (
            "parameters: [{name: a, type: string}]\nspec: {'{{ a }}': '{{ a }}'}\n",
            ["t.yaml:5:8: spec.{{ a }}: a parameter can be used in a value, but not in a key."],
        ),
        (
            "spec: {policyTemplate: {name: x}}\n",
            ["t.yaml:4:8: spec.policyTemplate: a template cannot have a template or bases."],
        ),
        ("parameters: []\n", ["t.yaml:1:1: spec: required key is missing."]),
        ("spec: {}\nparams: []\n", ["t.yaml:5:1: params: unknown key. Did you mean 'parameters'?"]),
    ],
)
def test_a_template_that_is_wrong_in_itself(text: str, expected: list[str]) -> None:
    assert template_problems(text) == expected


def test_a_placeholder_without_quotes() -> None:
    """YAML reads it as a mapping."""
    assert template_problems("parameters: [{name: a, type: int}]\nspec:\n  clusterRef: {{ a }}\n")[-1] == (
        "t.yaml:6:16: a key must be a string. Put {{ name }} in quotes."
    )


def test_unknown_templates(tmp_path: Path) -> None:
    assert load_problems(tmp_path, "  policyTemplate: {name: security-baselin}") == [
        "a.yaml:5:26: spec.policyTemplate.name: no template has the name 'security-baselin'."
        " Did you mean 'security-baseline'? Put your own templates in the folder of the specification or in"
        " templates/, or use the path of the file."
    ]


def test_names_of_templates_are_unique(tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(TEMPLATE + "spec: {}\n")
    with pytest.raises(SpecError, match=r"'house' is also the name of .*house\.yaml"):
        load(tmp_path, "  policyTemplate: {name: house}", "spec: {}\n")
    (tmp_path / "house.yaml").write_text(TEMPLATE.replace("house", "security-baseline") + "spec: {}\n")
    with pytest.raises(SpecError, match="'security-baseline' is the name of a built-in template"):
        load(tmp_path, "  policyTemplate: {name: house}")


def test_a_custom_resource_reads_no_file(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(TEMPLATE + "spec: {}\n")
    with pytest.raises(SpecError, match="no template has the name"):
        spec_from_part({"policyTemplate": {"name": str(path)}})


def test_a_template_knows_its_parameters() -> None:
    template = builtin("security-baseline")
    assert isinstance(template, Template)
    assert list(template.parameters) == [
        "podSecurityLevel",
        "runAsNonRoot",
        "allowPrivilegeEscalation",
        "exemptNamespaces",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nope", ""),
        ("", ""),
        ("security-basline", " Did you mean 'security-baseline'?"),
        ("./mine.yaml", ""),
        ("mine", ""),
    ],
)
def test_a_template_by_itself_is_a_built_in_one(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = "apiVersion: kspec.dev/v1\nkind: PolicyTemplate\nmetadata: {name: mine, version: '1'}\nspec: {}\n"
    (tmp_path / "mine.yaml").write_text(mine)
    with pytest.raises(SpecError) as caught:
        load_spec(f"template:{name}")
    assert str(caught.value) == (
        f"template:{name}: no built-in template is named {name!r}.{hint} Name one of compliance-strict, "
        "security-baseline; a template of your own is used in a specification (policyTemplate)."
    )
    assert load_spec("template:security-baseline").name == "security-baseline"
