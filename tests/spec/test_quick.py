"""What is read without pydantic is what pydantic would have made of it, and nothing that it refuses."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_kspec.spec.declared import SpecModel, key_of
from pytest_kspec.spec.document import ExemptionsDocument, SpecDocument
from pytest_kspec.spec.operations import LabelRequirement, LabelSelector
from pytest_kspec.spec.quick import read
from pytest_kspec.spec.sections import ClusterRef, Kubernetes
from pytest_kspec.spec.templates import TemplateDocument
from pytest_kspec.spec.twins import twin_model, validate
from pytest_kspec.yamlfiles.reading import read_document

ROOT = Path(__file__).parents[2]
EVERY_KEY = ROOT / "examples" / "specs" / "every-key.yaml"
OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 400, 1.5, "", "x", "X/y", "*", "v1.29", "2027-03-31", "privileged", "(", "\ud800",
    [], [None], ["x"], ["*"], [{}], {}, {"x": "y"}, {1: "x"}, {"\ud800": "x"},
)  # fmt: skip


def models(model: type[SpecModel] = SpecModel) -> set[type[SpecModel]]:
    return {model, *(one for inner in model.__subclasses__() for one in models(inner))}


def documents() -> Iterator[tuple[type[SpecModel], Any]]:
    """Each document of the examples, and some that say what no example says."""
    kinds = {"ClusterSpecification": SpecDocument, "Exemptions": ExemptionsDocument}
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for kind, model in kinds.items():
            if f"\nkind: {kind}\n" in f"\n{text}" and "\n---" not in text:
                yield model, read_document(path).data
    for path in sorted((ROOT / "pytest_kspec" / "spec" / "policytemplates").glob("*.yaml")):
        yield TemplateDocument, read_document(path).data
    header = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": "x", "version": "1"},
    }
    selector = {
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}],
    }
    yield SpecDocument, header | {"spec": {"clusterSelector": selector}}
    yield SpecDocument, header | {"spec": {"clusterRef": {"name": "eu", "namespace": "fleet"}}}


def changed(data: Any) -> Iterator[Any]:
    """The data with each place changed: another value, a key less, a key more, an entry twice."""
    yield from OTHERS
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    for key in keys:
        for inner in changed(data[key]):
            other = copy.copy(data)
            other[key] = inner
            yield other
        less = copy.copy(data)
        del less[key]
        yield less
    if isinstance(data, dict):
        yield data | {"unknownKey": 1}
        yield data | {5: 1}
    elif isinstance(data, list):
        yield data + data[:1]


def given(value: Any) -> Any:
    """Which fields were written, at each level."""
    if isinstance(value, SpecModel):
        return value.model_fields_set, [given(part) for part in vars(value).values()]
    return [given(part) for part in value] if isinstance(value, list) else None


def by_pydantic(model: type[SpecModel], data: Any) -> SpecModel | None:
    try:
        return validate(model, data)
    except ValidationError:
        return None


def quickly(model: type[SpecModel], data: Any) -> SpecModel | None:
    try:
        return read(model, data)
    except (ValueError, AssertionError):
        return None


def test_documents_are_read_without_pydantic() -> None:
    known = 0
    for model, data in documents():
        made = quickly(model, data)
        assert made is not None, data
        assert made == by_pydantic(model, data)
        assert made.model_dump(by_alias=True, exclude_unset=True) == data
        known += 1
    assert known > 10


@pytest.mark.parametrize("number", range(len(list(documents()))))
def test_whatever_is_changed_pydantic_says_the_same_of_what_is_taken(number: int) -> None:
    model, data = list(documents())[number]
    taken = refused = 0
    for other in changed(data):
        made = quickly(model, other)
        expected = by_pydantic(model, other) if made is not None else None
        if made is None:
            refused += 1
            continue
        taken += 1
        assert expected is not None, other
        assert made == expected
        assert given(made) == given(expected)
    assert taken
    assert refused


def test_what_pydantic_converts_is_taken_too() -> None:
    """A number where text is asked for: not here, but there."""
    with pytest.raises(ValueError, match=r"^$"):
        read(Kubernetes, {"minVersion": 1.29})
    assert Kubernetes.model_validate({"minVersion": 1.29}) == Kubernetes(minVersion="1.29")


def test_every_model_is_known_here() -> None:
    for model in models() - {SpecModel}:
        assert (
            quickly(model, {"unknownKey": 1}) is None
        )  # its types are looked at: TypeError for one that is not known
        for name, field in twin_model(model).model_fields.items():
            assert field.alias == key_of(name)


def test_an_ordinary_scan_does_not_import_pydantic() -> None:
    code = (
        "import sys\n"
        "from pytest_kspec.spec.loading import load_spec\n"
        f"load_spec({str(EVERY_KEY)!r})\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_models_are_values() -> None:
    one, same, other = ClusterRef(name="a"), ClusterRef(name="a", namespace=""), ClusterRef(name="b")
    assert one == same != other
    assert hash(one) == hash(same)
    assert one != "a"
    assert len({one, same, other}) == 2
    assert repr(one) == "ClusterRef(name='a', namespace='')"
    assert (one.model_fields_set, same.model_fields_set) == (
        frozenset({"name"}),
        frozenset({"name", "namespace"}),
    )
    with pytest.raises(AttributeError, match="ClusterRef is not changed: name"):
        one.name = "b"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    changed = one.model_copy(update={"namespace": "x"})
    assert (changed.name, changed.namespace, changed.model_fields_set) == (
        "a",
        "x",
        frozenset({"name", "namespace"}),
    )
    assert one.model_dump(by_alias=True, exclude_unset=True) == {"name": "a"}
    nested = LabelSelector(
        matchExpressions=[LabelRequirement(key="a", operator="Exists")], matchLabels={"a": 1}
    )
    assert nested.match_expressions[0].key == "a"  # beside a number where text is asked
    selector = LabelSelector(matchLabels={"a": "b"})
    assert selector.by_key() == {"matchLabels": {"a": "b"}, "matchExpressions": []}


def test_errors_are_those_of_pydantic() -> None:
    with pytest.raises(ValidationError) as caught:
        ClusterRef(nam="a")
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("name",), "missing"),
        (("nam",), "extra_forbidden"),
    ]
