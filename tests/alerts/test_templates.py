"""Templates: whatever a name holds, JSON stays JSON; and no template computes, calls or takes memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Level
from pytest_kspec.alerts.templates import LONGEST, problem, render
from pytest_kspec.errors import SpecError
from tests.alerts.conftest import EVIL, firing, notification

TEMPLATE = (
    '{"text": "{{ level | upper }}: {{ title }} on {{ labels.cluster }}", "labels": "{{ labels }}", "n": "{{ count }}",'
    ' "all": ["{% for one in alerts %}{{ one.title }};{% endfor %}", true, 1]}'
)


def values(**more: Any) -> dict[str, Any]:
    return message.values(notification(firing(**more)), Level.WARNING)


def test_values_are_put_in_as_data() -> None:
    body, kind = render(TEMPLATE, values())
    assert kind == "application/json"
    assert json.loads(body) == {
        "text": "WARNING: images is not met on prod-eu on prod-eu",
        "labels": {"cluster": "prod-eu", "cluster_uid": "uid-prod-eu", "spec": "strict", "check": "images"},
        "n": 1,
        "all": ["images is not met on prod-eu;", True, 1],
    }


@given(name=st.text(max_size=40))
def test_any_name_gives_json_with_the_same_keys(name: str) -> None:
    for given_name in (name, EVIL):
        body, _ = render(TEMPLATE, values(cluster=given_name, title=given_name))
        assert list(json.loads(body)) == ["text", "labels", "n", "all"]
    assert "49" not in render("{{ labels.cluster }}", values(cluster="{{7*7}}"))[0].decode()


def test_templates_of_v03_are_read() -> None:
    body, _ = render('{"text": "{{ .Title }}: {{.Labels.cluster}} {{ .EventType }}"}', values())
    assert json.loads(body) == {"text": "images is not met on prod-eu: prod-eu ComplianceFailure"}


def test_a_template_that_is_not_a_document_is_text() -> None:
    body, kind = render("{{ title }}\nat {{ timestamp }}", values())
    assert (body.decode(), kind) == (
        "images is not met on prod-eu\nat 2026-06-01T12:00:00Z",
        "text/plain; charset=utf-8",
    )


def test_no_name_forges_a_line_of_a_text_or_moves_a_cursor() -> None:
    body, _ = render(
        "{{ title }}|{{ labels.cluster }}", values(cluster="a\x1b[2J\nOK: all met", title="x\ny")
    )
    assert body.decode() == r"x\ny|a\x1b[2J\nOK: all met"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"a": {{ title }}}', "it is not JSON"),
        ('{"a": "{{ title"}', "cannot be read"),
        ("{{ 'a' * 1000000000 }}", "'mul' is not allowed"),
        ("{{ 'a' ~ 'b' }}", "'concat' is not allowed"),
        ("{{ range(1000000) }}", "'call' is not allowed"),
        ("{{ title.__class__.mro() }}", "'call' is not allowed"),
        ("{% set x = 1 %}", "'assign' is not allowed"),
        ("{% include 'x' %}", "'include' is not allowed"),
        ("{{ title | center(1000000000) }}", "the filter 'center' is not allowed"),
        ("{{ '%1000000000s' | format(1) }}", "the filter 'format' is not allowed"),
        ("{% for a in b %}" * 3 + "x" + "{% endfor %}" * 3, "nested"),
        ("{% for a in alerts recursive %}x{% endfor %}", "recursive"),
        ("{{ range .Alerts }}", "'range' of Go's templates"),
        ("[" * 5000, "it is not JSON"),
    ],
)  # fmt: skip
def test_what_a_template_may_not_do(template: str, said: str) -> None:
    assert said in problem(template)


def test_attributes_of_objects_cannot_be_reached() -> None:
    with pytest.raises(SpecError, match="cannot be filled in"):
        render("{{ title.__class__ }}", values())


def test_a_value_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SpecError, match="titel"):
        render('{"a": "{{ titel }}"}', values())


def test_a_text_does_not_grow_without_bound() -> None:
    template = "{% for a in alerts %}{% for b in alerts %}" + "x" * 1000 + "{% endfor %}{% endfor %}"
    many = {**values(), "alerts": [{}] * 1000}
    with pytest.raises(SpecError, match=f"longer than {LONGEST}"):
        render(template, many)
