"""What a check asks and does not use is an error that names the line: it would pass whatever the cluster is like."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks

HEAD = '''\
import contextlib, logging, warnings
import pytest
from pytest_kspec import check

def judge(pod):
    assert pod.labels

def is_fine(pod):
    if not pod.labels:
        return False
    return pod.name == 'x' and any(pod.labels)

def is_noted(pod):
    SEEN.append(pod)
    return bool(pod.labels)

def is_judged(pod):
    judge(pod)
    return True

SEEN = []

@pytest.fixture
def judged(pods):
    for pod in pods:
        judge(pod)

@check(id="acme.asked", title="T", severity="low", remediation="R.")
def test_asked(pods, {more}):
    """Why."""
'''


def load(folder: Path, body: str, more: str = "findings") -> None:
    path = folder / "test_it.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    path.write_text(HEAD.replace("{more}", more) + lines)
    load_checks([path])


@pytest.mark.parametrize(
    ("line", "body", "said"),
    [
        (1, "all(p.labels for p in pods)", r"the value of all\(…\) is not used. Use assert, or findings.add\(…\)."),
        (1, "any(p.labels.get('team') == 'x' for p in pods)", r"the value of any\(…\) is not used"),
        (1, "len([p for p in pods if p.labels])", r"the value of len\(…\) is not used"),
        (2, "for p in pods:\n    isinstance(p.labels, dict)", r"the value of isinstance\(…\) is not used"),
        (2, "for p in pods:\n    p.name.startswith('x')", r"the value of p.name.startswith\(…\) is not used"),
        (2, "for p in pods:\n    p.matches({})", r"the value of p.matches\(…\) is not used"),
        (2, "for p in pods:\n    is_fine(p)", r"the value of is_fine\(…\) is not used"),
        (2, "for p in pods:\n    fine = is_fine(p)", "fine is never read"),
        (0, "for p in pods:\n    if not is_fine(p): print(p)", "test_asked asserts nothing"),
        (0, "for p in pods:\n    if not p.labels: warnings.warn(p.name)", "test_asked asserts nothing"),
        (2, "fine = [p.kind == 'Pod' for p in pods]\nassert fine", "fine, a list of answers, is always true"),
        (2, "assert pods\nnot list(pods)", "the value of this condition is not used"),
        (2, "assert pods\nlist(pods) and pods", "the value of this condition is not used"),
        (2, "for p in pods:\n    ok = p.labels.get('team') == 'x'", "ok is never read"),
        (1, "fine = all(p.labels for p in pods)", "fine is never read"),
        (1, "def look():\n    for p in pods: findings.add(p)\nlist(pods)", "look is never called. Call it."),
        (2, "list(pods)\nassert 'every pod has a team'", "the text 'every pod has a team' is always true"),
        (2, "for p in pods:\n    assert f'{p.name} is good'", "this text is always true"),
        (2, "list(pods)\nassert True", "True is always true"),
        (2, "list(pods)\nassert [1]", "a list or dict with entries is always true"),
        (2, "for p in pods:\n    if p.kind == 'Pod' or 'Job': findings.add(p)", "the text 'Job' is always true"),
        (2, "for p in pods:\n    assert p.matches", "p.matches without a call is always true"),
        (2, "for p in pods:\n    assert not p.name.isupper", "p.name.isupper without a call is always true"),
        (1, "assert [p.kind == 'Pod' for p in pods]", "a list of answers is always true"),
        (3, "try:\n    assert list(pods)\nexcept Exception: pass", "an assertion or error is caught here"),
        (3, "try:\n    for p in pods: findings.add(p.nope)\nexcept: logging.info('x')", "an assertion or error is"),
        (1, "with contextlib.suppress(AssertionError):\n    assert list(pods)", "an assertion or error is caught here"),
        (4, "try:\n    assert list(pods)\nfinally:\n    return", "an assertion or error is caught here"),
        (3, "try:\n    assert list(pods)\nexcept* AssertionError:\n    pass", "an assertion or error is caught here"),
        (3, "try:\n    assert list(pods)\nexcept builtins.AssertionError:\n    pass", "an assertion or error is"),
        (4, "for p in pods:\n    try:\n        assert p.labels\n    except AssertionError: continue", "an assertion"),
        (2, "list(pods)\nassert pods or True", "True is always true"),
        (2, "for p in pods:\n    if not p.name.endswith: findings.add(p)", "p.name.endswith without a call"),
        (1, "assert [p.kind and p.kind == 'Pod' and p for p in pods] or [1]", "a list or dict with entries"),
        (0, "for p in pods: print(p.name)", "test_asked asserts nothing and adds no finding: it would always pass"),
        (1, "bad = []\nfor p in pods:\n    if not p.labels: bad.append(p)", "bad is filled and never read"),
        (3, "assert pods\nfor p in pods:\n    if not p.labels.get('team'): findings", "findings is named here, and"),
        (2, "list(pods)\n[findings for p in pods if not p.labels]", "findings is named here, and nothing is"),
        (2, "list(pods)\nx = {p.name: findings.add for p in pods}", "findings is named here, and nothing is reported"),
        (1, "print(f'{[findings for p in pods]}')", "findings is named here, and nothing is reported"),
        (2, "list(pods)\n(g := (findings.add(p) for p in pods))", "a generator is built here and never runs"),
        (2, "list(pods)\nif (g := map(findings.add, pods)): pass", r"map\(…\) is built here and never runs"),
        (2, "list(pods)\nprint(findings.add(p) for p in pods)", "a generator is built here and never runs"),
        (1, "assert [(findings.add(q) for q in [p]) for p in pods]", "a generator is built here and never runs"),
        (1, "[lambda: findings.add(p) for p in pods]", "a function is built here and never runs"),
        (1, "todo = []\nfor p in pods: todo.append(lambda: findings.add(p))", "todo is filled and never read"),
        (2, "assert pods\nbad = {}\nfor p in pods: bad[p.name] = p", "bad is filled and never read"),
        (2, "assert pods\nbad = [p for p in pods if not p.labels]", "bad is never read"),
        (1, "findings = []\nfor p in pods: findings.append(p)\nassert pods", "the fixture findings is replaced here"),
        (2, "for p in pods:\n    if not p.labels: ValueError(p.name)\nassert pods", r"ValueError\(…\) is not raised"),
        (3, "def look():\n    assert pods\nprint(look)\nlist(pods)", "look is named here, and not called"),
        (2, "assert pods\n[judge for p in pods]", "judge is named here, and not called"),
        (2, "for p in pods:\n    if not p.labels: pytest.fail\nassert pods", "pytest.fail is named here, and not"),
        (1, "assert all([p.labels] for p in pods)", "a list or dict with entries is always true"),
        (1, "assert all(f'{p.labels}!' for p in pods)", "this text is always true"),
        (1, "assert all((p.labels, 'no labels') for p in pods)", "a tuple is always true"),
        (1, "assert any((p.labels, 1) for p in pods)", "a tuple is always true"),
        (1, "assert all(True for p in pods)", "True is always true"),
        (1, "[findings.add(p) for p in pods if False]", "False is always false"),
        (2, "assert pods\nif 0 and pods: findings.add(None)", "0 and pods is always false"),
        (3, "try:\n    for p in pods: judge(p)\nexcept Exception: pass", "an assertion or error is caught here"),
        (1, "with contextlib.suppress(Exception):\n    for p in pods: judge(p)", "an assertion or error is caught"),
        (2, "quiet = contextlib.suppress(AssertionError)\nwith quiet:\n    assert list(pods)", "an assertion or error"),
        (1, "with contextlib.ExitStack() as s:\n    s.enter_context(contextlib.suppress(Exception))\n"
         "    assert list(pods)", "an assertion or error is caught here"),
        (0, "ok = True\nfor p in pods: ok = ok and p.labels\nlogging.info(ok)", "test_asked asserts nothing"),
        (0, "for p in pods:\n    p.labels.get('team')", "test_asked asserts nothing"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:assertion is always true:SyntaxWarning")
def test_what_is_asked_and_not_used(tmp_path: Path, line: int, body: str, said: str) -> None:
    with pytest.raises(CheckError, match=said) as caught:
        load(tmp_path, body)
    first = HEAD.count("\n") + line - (not line)
    assert f"{tmp_path / 'test_it.py'}:{first}: a check does not do what it seems to: " in str(caught.value)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("any(findings.add(p) for p in pods)", "findings"),
        ("list(map(judge, pods))", "findings"),
        ("for p in pods: is_judged(p)", "findings"),
        ("for p in pods: is_noted(p)\nassert SEEN", "findings"),
        ("assert all(map(is_fine, pods))", "findings"),
        ("fine = [p.kind == 'Pod' for p in pods]\nfine = all(fine)\nassert fine", "findings"),
        ("fine = [p.kind for p in pods if p.labels]\nassert fine", "findings"),
        ("all(judge(p) for p in pods)", "findings"),
        ("sorted(pods, key=judge)", "findings"),
        ("for p in pods: p.labels or findings.add(p)", "findings"),
        ("list(resources('Secret'))", "resources"),
        ("list(pods)", "judged"),
        ("for p in pods: judged.append(p)", "judged"),
        ("ok = True\nfor p in pods: ok = ok and p.labels\nassert ok", "findings"),
        ("def look():\n    assert list(pods)\nlook()", "findings"),
        ("while True:\n    assert list(pods)\n    break", "findings"),
        ("if not list(pods):\n    assert False, 'there are none'", "findings"),
        ("name = 'x' if list(pods) else 'y'\nother = name or 'x'\nassert other == 'x'", "findings"),
        ("assert [p for p in pods if p.labels]", "findings"),
        ("assert [p.name for p in pods]", "findings"),
        ("try:\n    assert list(pods)\nexcept AssertionError as e:\n    findings.error(str(e))", "findings"),
        ("bad = []\ntry:\n    judge(pods)\nexcept AssertionError:\n    bad.append(pods)\nassert not bad", "findings"),
        ("try:\n    port = int(pods)\nexcept Exception:\n    port = 0\nassert port", "findings"),
        ("try:\n    assert list(pods)\nexcept KeyError:\n    pass", "findings"),
        ("def has():\n    try:\n        assert pods\n    except AssertionError: return 0\nassert has()", "findings"),
        ("try:\n    assert list(pods)\nexcept AssertionError: pass\nelse:\n    findings.add(None)", "findings"),
        ("for one in judged: one.matches('x')", "judged"),
        ("assert all(one.matches for one in judged)\nfor one in judged:\n    assert one.matches", "judged"),
        ("pytest.fail('no') if list(pods) else None", "findings"),
        ("for p in pods:\n    if p.labels: raise ValueError(p.name)", "findings"),
        ("assert [*pods]\nassert {*pods}\nassert {**dict.fromkeys(pods)}", "findings"),
        ("if not (*pods,): pytest.fail('there are none')", "findings"),
        ("assert [p.labels.get('team') or p.name for p in pods]", "findings"),
        ("any((last := p).name == 'x' for p in pods)\nassert last.labels", "findings"),
        ("for p in pods: soft.startswith(p.name, 'acme-')", "soft"),
        ("for p in pods: pytest.startswith(p.name, 'acme-')", "findings"),
        ("with judged() as soft:\n    for p in pods: soft.endswith(p.name, 'x')", "findings"),
        ("for rule in judged:\n    assert not rule.startswith or list(pods)", "judged"),
        ("with GUARD:\n    for p in pods: p.labels['team']", ""),
        ("assert any((p.name, 1) for p in pods if p.labels)", "findings"),
        ("assert not any(True for p in pods if not p.labels)", "findings"),
        ("if (bad := [p for p in pods if not p.labels]): findings.add(bad[0])", "findings"),
        ("todo = []\nfor p in pods: todo.append(lambda: findings.add(p))\nfor one in todo: one()", "findings"),
        ("list(findings.add(p) for p in pods)", "findings"),
        ("list(pods and (findings.add(p) for p in pods))", "findings"),
        ("list(g := (findings.add(p) for p in pods))", "findings"),
        ("seen = []\nfor p in pods: seen.append(findings.add(p))", "findings"),
        ("tell = findings.add\nfor p in pods: tell(p)", "findings"),
        ("def tell(to): to.add(None)\ntell(findings)\nassert pods", "findings"),
        ("findings and findings.add(None)\nassert pods", "findings"),
        ("if judged: [one.add(None) for one in [findings]]", "findings, judged"),
        ("each = [judge]\nfor one in each: one(pods)", "findings"),
        ("why = ValueError('x')\nif list(pods): raise why", "findings"),
        ("try:\n    number = judge(pods)\nexcept Exception:\n    number = 0\nassert number", "findings"),
        ("import typing\nif typing.TYPE_CHECKING: assert pods\nassert list(pods)", "findings"),
    ],
)  # fmt: skip
def test_what_may_report_something_is_taken(tmp_path: Path, body: str, more: str) -> None:
    load(tmp_path, body, more)


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(3):\n    try:\n        assert list(pods)\n        break\n    except AssertionError: continue\n"
        "else: pytest.fail('never')",
        "for role in 'ab':\n    try:\n        assert role in pods\n        return\n    except AssertionError: pass\n"
        "pytest.fail('no role')",
        "def number(p):\n    try:\n        assert p.labels\n        return 1\n    except AssertionError: return\n"
        "assert all(map(number, pods))",
        "good = []\nfor p in pods:\n    try:\n        assert p.labels\n    except AssertionError: continue\n"
        "    good.append(p)\nassert good",
        "good = None\nfor p in pods:\n    try:\n        assert p.labels; good = p\n    except AssertionError: pass\n"
        "assert good",
        "try:\n    assert list(pods)\nexcept AssertionError:\n    (bad := 1)\nelse: bad = 0\nassert not bad",
    ],
)
def test_an_assertion_may_decide_what_is_done_next(tmp_path: Path, body: str) -> None:
    load(tmp_path, body)


def test_a_list_is_not_the_fixture_findings(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="findings is never read"):
        load(tmp_path, "findings = [p for p in pods if not p.labels]", "")
    with pytest.raises(CheckError, match="findings is named here, and nothing is reported"):
        load(tmp_path, "findings = [p for p in pods if not p.labels]\nprint(findings)", "")
    with pytest.raises(CheckError, match="asserts nothing"):
        load(tmp_path, "findings = 0\nfor p in pods: findings += 1\nlogging.info('%s', findings)", "")


@pytest.mark.parametrize(
    "fixture",
    [
        "@pytest.fixture\ndef pods(pods):\n    for p in pods: judge(p)\n    return pods\n",
        "@pytest.fixture(autouse=True)\ndef each(pods):\n    for p in pods: judge(p)\n",
        "pytestmark = pytest.mark.usefixtures('judged')\n",
    ],
)
def test_fixtures_may_report_for_a_check(tmp_path: Path, fixture: str) -> None:
    path = tmp_path / "test_it.py"
    body = "    for p in pods: print(p.name)\n"
    path.write_text(HEAD.replace("{more}", "") + body)
    with pytest.raises(CheckError, match="asserts nothing"):
        load_checks([path])
    path.write_text(HEAD.replace("@check", fixture + "@check").replace("{more}", "") + body)
    load_checks([path])
