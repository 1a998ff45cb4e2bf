from __future__ import annotations

import re
import time

import pytest
from msgspec.structs import replace

from pytest_kspec.reports import terminal
from pytest_kspec.reports.shared.text import elide, fold, printable, value, width_of
from pytest_kspec.results.verdict import Verdict
from tests.hostile.text import PAYLOADS, obeyed
from tests.reports import results

RESULTS = {
    "one": results.one(),
    "fleet": results.fleet(4, 30, 7),
    "framed": results.framed(),
    "alike": results.scan(*(results.cluster(f"{'long-name-' * 9}{n}", uid=f"{n}") for n in range(12))),
    "good": results.compliant(),
    "empty": results.scan(),
}


def ansi(text: str, *names: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if names else text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "no-such-encoding"])
@pytest.mark.parametrize("width", [40, 47, 80, 133])
@pytest.mark.parametrize("name", sorted(RESULTS))
def test_no_line_is_too_wide(name: str, width: int, encoding: str) -> None:
    text = terminal.render(RESULTS[name], width, encoding=encoding)
    assert [line for line in text.splitlines() if width_of(line) > width] == []
    if encoding in ("ascii", "latin-1"):
        text.encode(encoding)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_colour_only_adds(name: str) -> None:
    coloured = terminal.render(RESULTS[name], 80, ansi)
    assert "\x1b[1m" in coloured
    assert re.sub(r"\x1b\[[01]m", "", coloured) == terminal.render(RESULTS[name], 80)


def test_clusters_cannot_speak_to_the_terminal() -> None:
    text = terminal.render(results.one(), findings=100)
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert "\\x1b[31mred\\x1b[0m\\x00\\u202eevil" in text


def test_caps() -> None:
    text = terminal.render(results.one(), findings=2)
    assert "… and 15 more (see the JSON or HTML report)" in text
    assert text.count("registry.invalid") == 2
    short = terminal.render(results.one(), details=1)
    assert " ! ERROR high      rbac.forbiddenRules[core/secrets]\n   Nobody but" in short
    assert " ✗ FAIL  high      workloads.images.allowedRegistries ×17\n ✗ FAIL  medium" in short


def test_a_reason_that_many_errors_share_is_said_once() -> None:
    cluster = results.one().clusters[0]
    dead = [
        replace(check, verdict=Verdict.ERROR, reason="dead: the API server does not answer", findings=())
        for check in cluster.checks[:4]
    ]
    other = replace(dead[0], id="a.other", reason="another reason")
    text = terminal.render(results.scan(replace(cluster, checks=(*dead, other))))
    assert text.count("does not answer") == 1
    assert text.count("another reason") == 1
    assert all(check.id in text for check in dead)
    assert text.count(" ! ERROR ") == 5
    few = terminal.render(results.scan(replace(cluster, checks=(*dead[:2], other))))
    assert few.count("does not answer") == 2


def test_what_was_found_before_an_error_is_shown_whoever_shares_its_reason() -> None:
    cluster = results.one().clusters[0]
    found = next(check for check in cluster.checks if check.open_findings)
    dead = [
        replace(found, id=f"a.{n}", verdict=Verdict.ERROR, reason="no answer", findings=()) for n in range(3)
    ]
    both = replace(dead[0], id="a.both", findings=found.findings)
    page = results.scan(replace(cluster, checks=(*dead, both)))
    assert found.open_findings[0].path in terminal.render(page)
    assert f"a.both ×{len(found.open_findings)}" in terminal.render(page, details=0)


def test_many_failures_print_quickly() -> None:
    result = results.fleet(50, 120, 20)
    assert sum(len(c.checks) for c in result.clusters) == 6000
    start = time.process_time()
    text = terminal.render(result)
    assert time.process_time() - start < 2
    assert text.count("\n") < 6000


@pytest.mark.parametrize(
    ("actual", "text"),
    [
        (None, "unset"),
        (True, "true"),
        (0, "0"),
        ("", '""'),
        ("true", '"true"'),
        ("null", '"null"'),
        ("unset", '"unset"'),
        ("80", '"80"'),
        ("Always", "Always"),
        ({"b": 1, "a": ["é"]}, '{"a": ["é"], "b": 1}'),
        ("a\nb\x1b", "a\\nb\\x1b"),
        ("a\u00a0b", "a b"),
    ],
)
def test_value(actual: object, text: str) -> None:
    assert value(actual) == text


@pytest.mark.parametrize(
    "text",
    ["", "a", "abc " * 40, "x" * 300, "spec.containers[app].securityContext.privileged", "日本語" * 30],
)
@pytest.mark.parametrize("width", [8, 9, 20, 79])
def test_fold_and_elide(text: str, width: int) -> None:
    lines = fold(text, width, lines=1000)
    assert max(map(width_of, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(fold(text, width, lines=2)) <= 2
    assert width_of(elide(text, width)) <= width


def test_fold_breaks_after_dots() -> None:
    assert fold("spec.containers[app].securityContext.privileged", 40) == [
        "spec.containers[app].securityContext.",
        "privileged",
    ]


def test_printable_keeps_text() -> None:
    assert printable("Ünïcode — 日本語 ×") == "Ünïcode — 日本語 ×"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_several_clusters_have_a_line_each_at_the_end(width: int) -> None:
    names = ("eu", "us", "a-cluster-with-a-very-long-name-" * 4)
    text = terminal.render(results.scan(*map(results.cluster, names)), width)
    end = text.rpartition("\n\n")[0].rpartition("\n\n")[2].splitlines()
    assert [line.split()[0] for line in end if line[2] != " "][-2:] == ["eu", "us"]
    assert [line for line in end if width_of(line) > width] == []
    assert all("score" in line for line in end if line[2] != " ")


def test_the_same_finding_over_many_clusters_is_said_once_with_them() -> None:
    """As `reports/shared/fleet` groups them; what is on some of the clusters only, names these."""
    names = [f"c-{n:02}" for n in range(12)]
    clusters = [results.cluster(name, uid=name) for name in names]
    one = terminal.render(results.one())
    text = terminal.render(results.scan(*clusters))
    for line in (" ✗ FAIL  critical  podSecurity.standard[privileged]", "   · Pod ops/debug-7x2kq"):
        assert one.splitlines().count(line) == text.splitlines().count(line) == 1
    assert "   on 12 of 12: c-00, c-01, c-02 and 9 more" in text
    assert len(text.splitlines()) < 2 * len(one.splitlines())
    found = next(c for c in clusters[0].checks if c.id == "podSecurity.standard[privileged]")
    fewer = replace(found, findings=found.findings[1:])
    other = replace(clusters[3], checks=tuple(fewer if c.id == found.id else c for c in clusters[3].checks))
    text = terminal.render(results.scan(*clusters[:3], other))
    assert "on 4 of 4: c-00, c-01, c-02 and 1 more" in text
    assert text.count("     on c-00, c-01, c-02\n") == 1


def test_why_clusters_could_not_be_evaluated_is_said_once_and_first() -> None:
    cluster = results.one().clusters[0]
    gone = [
        replace(
            cluster,
            name=name,
            uid=name,
            checks=tuple(
                replace(
                    c, verdict=Verdict.ERROR, reason=f"{name}: the API server does not answer", findings=()
                )
                for c in cluster.checks
            ),
        )
        for name in ("eu", "us")
    ]
    text = terminal.render(results.scan(*gone, cluster))
    assert text.count("does not answer") == 1
    assert f"{2 * len(cluster.checks)} requirements on eu, us" in text
    assert text.index("does not answer") < text.index("FAIL")
    assert all(check.id in text for check in cluster.checks)
    assert "on 1 of 3 (2 not fully evaluated): prod-eu" in text


def test_one_cluster_has_no_table() -> None:
    last = terminal.render(results.one()).rpartition("\n\n")[2]
    assert terminal.render(results.scan(results.cluster())).endswith(last)
    assert not re.search(r"^  prod-eu ", terminal.render(results.one()), re.MULTILINE)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [40, 60, 80, 133])
@pytest.mark.parametrize("name", sorted(RESULTS))
def test_brief_is_a_line_for_each_cluster_and_a_total(name: str, width: int, encoding: str) -> None:
    result = RESULTS[name]
    lines = terminal.brief(result, width, encoding=encoding).splitlines()
    assert [line for line in lines if width_of(line) > width] == []
    total = terminal.render(result, width, encoding=encoding).rpartition("\n\n")[2].splitlines()
    assert lines[-len(total) :] == total
    above = lines[: -len(total)]
    assert len([line for line in above if line]) == len(result.clusters)
    coloured = terminal.brief(result, width, ansi, encoding=encoding)
    assert re.sub(r"\x1b\[[01]m", "", coloured).splitlines() == lines


def test_brief_says_the_worst_finding() -> None:
    assert terminal.brief(results.one(), 133).splitlines()[0] == (
        "✗ prod-eu   43.5  2 errors, 4 failed of 13  critical podSecurity.standard[privileged] Pod ops/debug-7x2kq"
    )
    assert terminal.brief(results.compliant()).splitlines()[0] == "✓ staging   94.4  5 passed of 5"


def test_clusters_of_one_name_are_told_apart() -> None:
    two = results.scan(*(results.cluster("eu", uid=f"{n}1ba0dc-0000") for n in range(2)))
    for text in (terminal.brief(two), terminal.render(two)):
        assert "eu (01ba0dc-)" in text
        assert "eu (11ba0dc-)" in text


def test_a_cluster_that_was_named_twice_keeps_both_names() -> None:
    """Contexts of two users, or two recordings: a row says which of them it is about."""
    two = results.scan(*(results.cluster(name, uid="01ba0dc-0000") for name in ("eu-admin", "eu-dev")))
    for text in (terminal.brief(two), terminal.render(two)):
        assert [line.split()[:2] for line in text.splitlines() if "eu-dev  " in line or "✗ eu-dev" in line]
        assert [
            line.split()[:2] for line in text.splitlines() if "eu-admin  " in line or "✗ eu-admin" in line
        ]
    assert "on 2 of 2: eu-admin, eu-dev" in terminal.render(two)


@pytest.mark.parametrize("width", [40, 57, 80, 133])
def test_names_of_many_clusters_cannot_speak_to_the_terminal(width: int) -> None:
    """Wherever a line breaks: names, specifications, requirements, reasons, notes and frameworks."""
    cluster = results.one().clusters[0]
    made = []
    for number, text in enumerate(PAYLOADS):
        checks = tuple(
            replace(
                check,
                id=f"{text}{check.id}" if number % 2 else check.id,
                title=text + check.title,
                reason=check.reason and f"{'word ' * number}{text} {check.reason}",
                remediation=f"{'word ' * number}{text}",
                findings=tuple(
                    replace(f, expected=text + f.expected, message=text + f.message, actual=text)
                    for f in check.findings
                ),
            )
            for check in cluster.checks
        )
        frameworks = tuple(replace(one, name=text + one.name) for one in cluster.frameworks)
        made.append(
            replace(cluster, name=text, uid=str(number), spec_name=text, checks=checks, frameworks=frameworks)
        )
    for result in (results.scan(*made), results.scan(made[0], made[1])):
        for encoding in ("utf-8", "ascii"):
            assert obeyed(terminal.render(result, width, encoding=encoding)) == []
            assert obeyed(terminal.render(result, width, ansi, encoding=encoding), colours=True) == []
            assert obeyed(terminal.brief(result, width, encoding=encoding)) == []


def test_brief_cannot_speak_to_the_terminal() -> None:
    text = terminal.brief(results.scan(results.cluster("\x1b[2J\n::error::x"), results.cluster("##[error]")))
    assert text.splitlines()[0].startswith("✗ \\x1b[2J\\n::error::x")
    assert text.splitlines()[1].startswith("✗ ##\\x5berror]")
    assert "##[" not in text
