"""What a check only builds, though it would evaluate something, is an error that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks

HEAD = '''\
import asyncio, itertools, multiprocessing
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pytest_kspec import check

def yields(item):
    yield item

async def waits(items):
    return items

class Judge:
    def yields(self):
        yield self

@check(id="acme.idle", title="T", severity="low", remediation="R.")
def test_idle(pods, services, findings):
    """Why."""
    assert len(pods)
'''


def load(folder: Path, body: str) -> None:
    path = folder / "test_it.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    load_checks([path])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("(findings.add(s) for s in services)", "a generator is built here and never runs"),
        ("map(findings.add, services)", r"map\(…\) is built here and never runs"),
        ("for pod in pods:\n    filter(None, services)", r"filter\(…\) is built here and never runs"),
        ("assert (s.name for s in services)", "a generator is always true"),
        ("assert map(len, services), 'why'", r"map\(…\) is always true"),
        ("assert (len(services) == 1, 'one')", "a tuple is always true"),
        ("assert bool(s.name for s in services)", "a generator is always true"),
        ("assert len(services) and (s.name for s in services)", "a generator is always true"),
        ("x = map(len, services) or findings.add(None)", r"map\(…\) is always true"),
        ("x = [s for s in services if yields(s)]", r"the generator yields\(…\) is always true"),
        ("assert lambda: not services", "a function is always true"),
        ("if not (s for s in services):\n    findings.add(None)", "a generator is always true"),
        ("x = 1 if (s for s in services) else findings.add(None)", "a generator is always true"),
        ("found = (findings.add(s) for s in services)", "a generator is built here and never runs"),
        ("found: object = map(findings.add, services)", r"map\(…\) is built here and never runs"),
        ("itertools.starmap(findings.add, [(s,) for s in services])", r"itertools.starmap\(…\) is built"),
        ("found = chain(map(findings.add, services))", r"chain\(…\) is built here and never runs"),
        ("partial(findings.add, services[0])", r"partial\(…\) is built here and never runs"),
        ("for s in services:\n    yields(s)", r"the generator yields\(…\) is built here and never runs"),
        ("def filter():\n    map(findings.add, pods)", r"map\(…\) is built here and never runs"),
        ("waits(services)", r"the coroutine waits\(…\) is built here and never runs"),
        ("judge = Judge()\njudge.yields()", r"the generator judge.yields\(…\) is built here and never runs"),
        ("Judge().yields()", r"the generator Judge\(\).yields\(…\) is built here and never runs"),
        ("assert waits(services)", r"the coroutine waits\(…\) is always true"),
        ("for s in services:\n    s.name == 'x'", "this comparison has no effect. Write assert"),
        ("for s in services:\n    lambda: findings.add(s)", "a function is built here and never runs"),
        ("for s in services:\n    findings.add", "findings.add is not called"),
        ("with ThreadPoolExecutor() as p:\n    p.submit(findings.add, None)", r"the result of p.submit\(…\)"),
        ("with ThreadPoolExecutor() as p:\n    p.map(findings.add, services)", r"the result of p.map\(…\)"),
        ("asyncio.create_task(waits(services))", r"the result of asyncio.create_task\(…\) is discarded"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:assertion is always true:SyntaxWarning")
@pytest.mark.filterwarnings("ignore:assertion is always true:pytest.PytestAssertRewriteWarning")
def test_what_is_built_and_never_runs(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(CheckError, match=said) as caught:
        load(tmp_path, body)
    line = HEAD.count("\n") + 1 + body.startswith(("for ", "with ", "judge", "def "))
    assert f"{tmp_path / 'test_it.py'}:{line}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "assert all(s.name for s in services)",
        "found = (s for s in services)\nassert list(found)",
        "for s in map(str, services):\n    findings.add(None, message=s)",
        "assert [s for s in services]",
        "found = services and (s for s in services)\nassert list(found or map(str, services))",
        "assert ()",
        "found = map(str, services)\nfor s in found:\n    findings.add(None, message=s)",
        "found = (s for s in services)\ndef later():\n    return list(found)\nlater()",
        "for s in yields(services):\n    findings.add(s)",
        "asyncio.run(waits(services))",
        "add = partial(findings.add, path='x')\nadd(None)",
        "with ThreadPoolExecutor() as pool:\n    assert not list(pool.map(findings.add, services))",
        "with ThreadPoolExecutor() as pool:\n    first = pool.submit(len, services)\n    first.result()",
        "with multiprocessing.Pool() as pool:\n    pool.map(len, services)",
        "len(pods) and findings.add(None)",
        "class Walk:\n    def add(self, item):\n        yield item\nfindings.add(None)",
        "class Walk:\n    def items(self):\n        yield self\nassert not {}.items() or Walk()",
        "class Walk:\n    async def close(self):\n        pass\nwith open('/dev/null') as file:\n    file.close()",
        "judge = Judge()\nfor judge in services:\n    judge.yields()",
        "def one():\n    def visit():\n        yield\n    list(visit())\ndef visit():\n    pass\none(), visit()",
        "def filter(item):\n    findings.add(item)\nfor s in services:\n    filter(s)",
        "def each(map):\n    map(None)\neach(findings.add)",
        "def yields(item):\n    findings.add(item)\nyields(None)",
    ],
)
def test_what_runs(tmp_path: Path, body: str) -> None:
    load(tmp_path, body)
