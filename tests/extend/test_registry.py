"""What installed packages add is found by name, replaces nothing of ours, and if it is broken is an error of theirs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.pytester import Pytester

import pytest_kspec
from pytest_kspec.alerts.routing import make_plan
from pytest_kspec.cli.main import COMMANDS, main
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.crds.models.alertconfig import AlertConfigSpec
from pytest_kspec.enforce.engines import ENGINES, engine, engines
from pytest_kspec.errors import AccessDenied, ReportError, SourceUnavailable, SpecError, UsageError
from pytest_kspec.extend import hookspecs, places
from pytest_kspec.extend.registry import Registry, ours_only
from pytest_kspec.frameworks.catalog import catalogs, refs_to
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.publish.sinks import Published, read_publication
from pytest_kspec.reports import writer
from pytest_kspec.results.result import ScanResult
from pytest_kspec.secretstores.allowed import allowed_by_environment
from pytest_kspec.secretstores.reference import parse_reference
from pytest_kspec.secretstores.stores import Secrets

HOME = Path(pytest_kspec.__file__).parent
RESULT = ScanResult("0.1.0", "2026-06-01T00:00:00Z", "2026-06-01T00:00:01Z", ())


class Site:
    """A folder on `sys.path` with packages as an installer leaves them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, package: str, code: str, *entries: str) -> None:
        """entries: `kspec.reports: name = module:attribute`."""
        module = package.replace("-", "_")
        (self.path / f"{module}.py").write_text(code)
        place = self.path / f"{module}-1.2.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        groups: dict[str, list[str]] = {}
        for entry in entries:
            group, _, line = entry.partition(": ")
            groups.setdefault(group, []).append(line)
        text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())
        (place / "entry_points.txt").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("place", places.ALL, ids=lambda place: place.group)
def test_each_kind_has_built_in_users(place: Registry) -> None:
    """And what is built in is found the way in which what is installed is."""
    assert place.builtin
    for name in place.builtin:
        assert place.load(name) is not None


def test_each_group_has_a_heading_in_the_docs() -> None:
    page = (HOME.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    assert {line.split("`")[1] for line in page.splitlines() if line.startswith("| [`kspec.")} == {
        place.group for place in places.ALL
    }


def test_each_hook_is_called_and_has_a_built_in_user() -> None:
    """A hook that nobody implements is a promise that nobody tried."""
    defined = {name for name in vars(hookspecs) if name.startswith("pytest_kspec_")}
    implemented: set[str] = set()
    called = ""
    for path in HOME.rglob("*.py"):
        if path.name == "hookspecs.py":
            continue
        text = path.read_text(encoding="utf-8")
        called += text
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                implemented |= {
                    item.name for item in node.body if isinstance(item, ast.FunctionDef)
                } & defined
    assert implemented == defined
    assert [name for name in defined if f'"{name}"' not in called and f"hook.{name}" not in called] == []


def test_our_commands_engines_and_formats_are_those_of_the_registry() -> None:
    assert set(places.COMMANDS.builtin) == set(COMMANDS) - {"version"}
    assert set(places.ENGINES.builtin) == set(ENGINES)
    assert set(places.REPORTS.builtin) == set(writer.FORMATS)


def test_a_name_of_ours_is_never_replaced_and_a_package_is_named_by_what_it_is(site: Site) -> None:
    code = "def render(result):\n    return b'theirs'\n"
    site.add(
        "acme-kspec",
        code,
        "kspec.reports: json = acme_kspec:render",
        "kspec.reports: acme = acme_kspec:render",
    )
    assert writer.render(RESULT, "json") != b"theirs"
    assert writer.render(RESULT, "acme") == b"theirs"
    found = places.REPORTS.find("acme")
    assert found is not None
    assert found.package == "acme-kspec 1.2"
    with ours_only():
        assert places.REPORTS.find("acme") is None
        with pytest.raises(UsageError, match="unknown report format 'acme'"):
            writer.parse_target("acme:x")


def test_two_packages_of_one_name_are_an_error_that_names_both(site: Site) -> None:
    for name in ("one-kspec", "two-kspec"):
        site.add(name, "", "kspec.sinks: both = nowhere")
    with pytest.raises(
        UsageError, match=r"the sink 'both' comes from two packages: one-kspec 1\.2, two-kspec 1\.2\."
    ):
        places.SINKS.find("both")
    assert places.REPORTS.find("nothing") is None


BROKEN = {
    "missing module": ("", "gone:render", "ModuleNotFoundError: No module named 'gone'"),
    "missing name": ("", "bad_kspec:render", "AttributeError: module 'bad_kspec' has no attribute 'render'"),
    "syntax": ("def", "bad_kspec:render", "SyntaxError: invalid syntax"),
    "raises": ("1 / 0", "bad_kspec:render", "ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(0)", "bad_kspec:render", "SystemExit: 0"),
    "skips": ("import pytest; pytest.skip('x', allow_module_level=True)", "bad_kspec:x", "Skipped: x"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_is_one_error_that_names_it(site: Site, kind: str) -> None:
    code, value, why = BROKEN[kind]
    site.add("bad-kspec", code, f"kspec.reports: bad = {value}")
    with pytest.raises(UsageError) as raised:
        writer.render(RESULT, "bad")
    text = f"entry point bad = {value}: the report format 'bad' of the package bad-kspec 1.2 cannot be used: {why}"
    assert str(raised.value).startswith(text)
    assert str(raised.value).endswith("Repair the package, or uninstall it.")
    assert writer.render(RESULT, "json")  # nothing else is


@pytest.mark.parametrize(
    ("body", "why"), [("return 'text'", "it returned str, not bytes"), ("raise OSError('no')", "OSError: no")]
)
def test_a_report_of_a_package_that_fails_keeps_no_other_from_being_written(
    site: Site, tmp_path: Path, body: str, why: str
) -> None:
    site.add("bad-kspec", f"def render(result):\n    {body}\n", "kspec.reports: bad = bad_kspec:render")
    published = read_publication([f"bad:{tmp_path}/bad", f"json:{tmp_path}/good"]).publish(RESULT)
    assert published.done == [f"json report: {tmp_path}/good"]
    (problem,) = published.problems
    assert f"of the package bad-kspec 1.2 cannot be used: {why}." in problem
    assert not (tmp_path / "bad").exists()
    with pytest.raises(ReportError):
        writer.render(RESULT, "bad")


SINK = """
from pytest_kspec import Published

class Queue:
    def __init__(self, address, *, kubeconfig=None, where=""):
        self.address = address

    def publish(self, result, files):
        if self.address == "down":
            raise ConnectionError("refused")
        return Published([f"queued at {self.address} beside {len(files)} files"])
"""


def test_a_sink(site: Site, tmp_path: Path) -> None:
    site.add("acme-kspec", SINK, "kspec.sinks: queue = acme_kspec:Queue")
    file = f"json:{tmp_path}/good"
    assert read_publication(["queue:up", file]).publish(RESULT) == Published(
        [f"json report: {tmp_path}/good", "queued at up beside 1 files"]
    )
    assert read_publication(["queue:down", "queue:up"]).publish(RESULT) == Published(
        ["queued at up beside 0 files"],
        ["queue of the package acme-kspec 1.2 was not written: ConnectionError: refused"],
    )


def test_a_command(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "from pytest_kspec import SourceError\nDESCRIPTION = 'Greets.'\nEXAMPLES = 'kspec greet --loud'\n"
        "def add_arguments(parser):\n    parser.add_argument('--loud', action='store_true')\n"
        "def run(args):\n    print('HELLO' if args.loud else 'hello')\n    return 3\n"
    )
    site.add("acme-kspec", code, "kspec.commands: greet = acme_kspec", "kspec.commands: bad = json")
    assert main(["greet", "--loud"]) == 3
    assert capsys.readouterr().out == "HELLO\n"
    assert main(["greet", "--help"]) == 0
    assert "Greets." in capsys.readouterr().out
    assert main(["bad"]) == 4
    assert "the command 'bad' of the package acme-kspec 1.2 cannot be used: it has no DESCRIPTION" in (
        capsys.readouterr().err
    )
    assert main(["gret"]) == 4


def test_an_engine_and_a_framework(site: Site) -> None:
    catalog = (
        "id: acme-1\nname: Acme\nversion: '1'\npublisher: Acme\ndocument: Rules\ndate: '2026-01-01'\n"
        "complete: true\naliases: []\ncontrols:\n- {id: A.1, title: One, checks: [network.defaultDeny]}\n"
    )
    code = f"NAME = 'gate'\ndef rules():\n    return {catalog!r}\n"
    site.add(
        "acme-kspec", code, "kspec.engines: gate = acme_kspec", "kspec.frameworks: acme = acme_kspec:rules"
    )
    assert engine("gate").NAME == "gate"
    assert engines()["gate"] == "of the package acme-kspec 1.2"
    assert catalogs()["acme-1"].controls[0].title == "One"
    assert ("acme-1", "A.1") in {ref[:2] for ref in refs_to("network.defaultDeny")}
    with ours_only():
        assert "acme-1" not in catalogs()
        assert "acme-1" not in {ref[0] for ref in refs_to("network.defaultDeny")}


CHECK = '''
from pytest_kspec import check
@check(id="acme.{name}", title="{name}", severity="low", remediation="Do it.")
def test_{name}(findings):
    """Why."""
    findings.examined(1)
'''


def test_checks_of_a_module_and_of_a_package(site: Site) -> None:
    site.add(
        "acme-kspec", CHECK.format(name="one"), "kspec.checks: acme = acme_kspec", "kspec.checks: more = more"
    )
    for name in ("__init__", "inner/__init__", "inner/test_two", "inner/helper"):
        path = site.path / "more" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CHECK.format(name="two") if "test_" in name else "")
    found = {id for id in load_checks().entries if id.startswith("acme.")}
    assert found == {"acme.one", "acme.two"}
    with ours_only():
        assert not {id for id in load_checks().entries if id.startswith("acme.")}


def test_a_package_without_a_check_is_an_error(site: Site) -> None:
    site.add("acme-kspec", "", "kspec.checks: acme = acme_kspec")
    with pytest.raises(
        UsageError, match=r"of the package acme-kspec 1\.2 cannot be used: there is no check in it"
    ):
        load_checks()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("None", "a NoneType has no name, kind, info, types, pages, close"),
        ("MemorySource([], kind='other')", "its kind must be one of live, snapshot, manifests"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_source_that_is_none_is_an_error(site: Site, made: str, why: str) -> None:
    code = f"from pytest_kspec import MemorySource\ndef make(rest, *, kubeconfig=None):\n    return {made}\n"
    site.add("acme-kspec", code, "kspec.sources: acme = acme_kspec:make")
    with pytest.raises(UsageError, match=why):
        open_source("acme:x")


def test_two_clusters_of_a_source_in_memory_are_two_whatever_is_known_of_them() -> None:
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "one"}}
    other = {**system, "metadata": {"name": "default", "uid": "two"}}
    assert MemorySource([other, system]).info().uid == "one"
    assert MemorySource([other, system], uid="three").info().uid == "three"
    for unknown in (
        [],
        [other],
        [{**system, "metadata": {"name": "kube-system"}}],
        [{**system, "metadata": 1}],
    ):
        assert MemorySource(unknown).info().uid == ""
    assert MemorySource([system], kind="manifests").info().uid == ""


def test_what_an_idle_run_costs(pytester: Pytester) -> None:
    """Neither a run of pytest without a specification nor `kspec --help` looks at installed packages."""
    pytester.makepyfile("def test_nothing(): pass")
    code = (
        "import sys, pytest\n"
        "from pytest_kspec.cli.main import main\n"
        "main(['--help'])\n"
        "before = 'pytest_kspec.extend.registry' in sys.modules\n"
        "pytest.main(['-p', 'no:cacheprovider'])\n"
        "sys.exit(before or 'pytest_kspec.extend.registry' in sys.modules)\n"
    )
    assert pytester.run(sys.executable, "-c", code).ret == 0


STORE = """
from pytest_kspec import Sealed, SourceError

class Safe:
    def read(self, reference):
        if reference.name == "text":
            return "hunter2-hunter2"
        if reference.name == "fails":
            raise ValueError("hunter2-hunter2")
        return Sealed(f"{reference.name}/{reference.key}".encode())
"""


def test_a_secret_store(site: Site) -> None:
    site.add("acme-kspec", STORE, "kspec.secretstores: safe = acme_kspec:Safe")
    secrets = Secrets()
    assert secrets.read(parse_reference("safe:a/b#key"), asker="").text() == "a/b/key"
    for name, why in (("text", "returned str, not Sealed"), ("fails", "failed with ValueError")):
        with pytest.raises(SourceUnavailable) as raised:
            secrets.read(parse_reference(f"safe:{name}"), asker="")
        assert str(raised.value) == f"safe:{name}: the store 'safe' of the package acme-kspec 1.2 {why}."
    with ours_only(), pytest.raises(UsageError, match="a reference to a secret begins with one of aws:"):
        parse_reference("safe:a")


def test_an_object_refers_to_a_store_of_a_package_only_by_a_rule(site: Site) -> None:
    site.add("acme-kspec", STORE, "kspec.secretstores: safe = acme_kspec:Safe")
    asked = parse_reference("safe:kspec/team-a/token#key")
    with pytest.raises(AccessDenied, match="an object of the namespace team-a may not refer to safe:"):
        Secrets().read(asked, asker="team-a")
    allowed = allowed_by_environment({"KSPEC_SECRET_REFERENCES": "team-a=safe:kspec/team-a/*"})
    assert Secrets(allowed=allowed).read(asked, asker="team-a").text() == "kspec/team-a/token/key"
    with pytest.raises(AccessDenied):
        Secrets(allowed=allowed).read(asked, asker="team-b")
    for name in ("kspec/team-a/../../etc", "kspec/team-a/.", " a", "a\n"):
        with pytest.raises(UsageError, match="this is not the name of a secret in safe"):
            parse_reference(f"safe:{name}")
    with pytest.raises(UsageError, match="is not a rule"):
        allowed_by_environment({"KSPEC_SECRET_REFERENCES": "team-a=save:x"})


def test_a_type_of_notifier_is_found_when_the_configuration_is_read(site: Site) -> None:
    site.add("acme-kspec", "1 / 0", "kspec.notifiers: pager = acme_kspec:send")
    custom = [{"name": "a", "type": "pager"}, {"name": "a", "type": "slack"}, {"name": "b", "type": "page"}]
    with pytest.raises(SpecError) as raised:
        make_plan("x", AlertConfigSpec.model_validate({"custom": custom}))
    problems = "\n".join(raised.value.problems)
    for said in (
        "spec.custom: two notifiers have the name 'a'.",
        "spec.custom[0].type: entry point pager = acme_kspec:send: the type of notifier 'pager' of the package "
        "acme-kspec 1.2 cannot be used: ZeroDivisionError: division by zero.",
        "spec.custom[1].type: 'slack' is built in: use the key of spec that has its name.",
        "spec.custom[2].type: there is no type of notifier 'page'.",
    ):
        assert said in problems
