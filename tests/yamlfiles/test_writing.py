from __future__ import annotations

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_kspec.enforce.manifests import to_yaml
from pytest_kspec.yamlfiles.writing import Dumper

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x85\u2028\u2029\n\t :#'\""))


@given(TEXTS, TEXTS, st.integers(1, 100))
@example("a\x85b", "\x85", 1)
@example("a\u2028 b\n\u2029", "x\x85\ny", 100)
def test_values_are_read_as_they_were(key: str, value: str, times: int) -> None:
    data = {key: [value, value * times]}
    for flow in (False, True):
        text = yaml.dump(data, Dumper=Dumper, allow_unicode=True, width=120, default_flow_style=flow)
        assert yaml.load(text, yaml.CSafeLoader) == data
    assert list(yaml.load_all(to_yaml([data]), yaml.CSafeLoader)) == [data]


def test_what_needs_no_escapes_has_none() -> None:
    assert yaml.dump({"a": "größe\n", "b": "日本"}, Dumper=Dumper, allow_unicode=True) == (
        "a: 'größe\n\n  '\nb: 日本\n"
    )
