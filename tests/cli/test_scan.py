"""`kspec scan`: the same run as pytest's, with our report and our exit codes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import EXAMPLES, POD, RECORDING, SPEC, Kspec

WriteSpec = Callable[..., Path]
NO_HOST_NETWORK = "workloads: {containers: {forbidden: [{key: hostNetwork, value: true}]}}"
HOST_PID = "workloads: {containers: {forbidden: [{key: hostPID, value: true}]}}"


def test_compliant(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path) -> None:
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("✓ COMPLIANT · 1 cluster · 1 requirement\n  score 100.0 · 1 passed\n")


def test_findings(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path) -> None:
    said = run_kspec("scan", "-s", write_spec(NO_HOST_NETWORK), "--cluster", manifests)
    assert (said.code, said.err) == (1, "")
    assert said.out.splitlines()[0].startswith("── pod.yaml ──")
    assert "   · Pod shop/web\n     spec.hostNetwork: true → not true\n" in said.out


@pytest.mark.parametrize(("level", "code"), [("high", 1), ("critical", 0)])
def test_a_finding_fails_at_its_own_level_but_not_above(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, level: str, code: int
) -> None:
    said = run_kspec("scan", write_spec(NO_HOST_NETWORK), "--cluster", manifests, "--fail-on", level)
    assert (said.code, "✗ FAIL  high" in said.out) == (code, True)


def test_what_could_not_be_evaluated(run_kspec: Kspec, write_spec: WriteSpec, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: [")
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", broken)
    assert said.code == 2
    assert "! NOT FULLY EVALUATED" in said.out


def test_two_clusters_that_are_called_the_same(
    run_kspec: Kspec, write_spec: WriteSpec, tmp_path: Path
) -> None:
    for region in ("eu", "us"):
        (tmp_path / region / "prod").mkdir(parents=True)
        (tmp_path / region / "prod" / "pod.yaml").write_text(POD)
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", "eu/prod", "--cluster", "us/prod")
    assert (said.code, said.out) == (4, "")
    assert "eu/prod and us/prod are both called 'prod'" in said.err
    assert "--cluster NAME=us/prod" in said.err


def test_what_is_advised_for_two_snapshots_of_one_cluster_can_be_done(
    run_kspec: Kspec, write_spec: WriteSpec, tmp_path: Path
) -> None:
    """A snapshot takes no other name."""
    for name in ("monday", "tuesday"):
        shutil.copy(RECORDING, tmp_path / f"{name}.tar.gz")
    words = ("--cluster", "monday.tar.gz", "--cluster", "tuesday.tar.gz")
    said = run_kspec("scan", write_spec(HOST_PID), *words)
    assert (said.code, "NAME=" in said.err, "in a run of its own" in said.err) == (4, False, True)


def test_what_is_wrong_in_a_template_is_said_with_its_path(
    run_kspec: Kspec, write_spec: WriteSpec, tmp_path: Path
) -> None:
    """A patch of an overlay looks like this: its spec is there, the pod's is not."""
    patch = tmp_path / "patch.yaml"
    patch.write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n")
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", patch)
    assert said.code == 2
    assert "Deployment default/web: spec.template.spec is null" in " ".join(said.out.split())


def test_json_on_standard_output(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path) -> None:
    spec = write_spec(NO_HOST_NETWORK)
    for words in (["--json"], ["-o", "json"], ["--report", "json:-"]):
        said = run_kspec("scan", spec, "--cluster", manifests, *words)
        result = json.loads(said.out)
        assert (said.code, said.err) == (1, "")
        assert [c["verdict"] for c in result["clusters"][0]["checks"]] == ["fail"]


def test_manifests_from_standard_input(run_kspec: Kspec, write_spec: WriteSpec) -> None:
    spec = write_spec(NO_HOST_NETWORK)
    said = run_kspec("scan", spec, "--cluster", "-", stdin=POD)
    assert said.code == 1
    assert "Pod shop/web" in said.out
    said = run_kspec("scan", spec, "--cluster", "-", "-n", "2", stdin=POD)
    assert said == (4, "", "error: -n: standard input can be read by only one process. Leave out -n.\n")


def test_reports_and_workers(run_kspec: Kspec, tmp_path: Path) -> None:
    spec = EXAMPLES / "01-quickstart" / "strict.yaml"
    words = ["--report", "json:out/a.json", "--report", "html:out/a.html", "--report", "junit:out/a.xml"]
    one = run_kspec("scan", spec, *words)
    two = run_kspec("scan", spec, "-n", "2", "--report", "json:out/b.json")
    assert (one.code, two.code) == (1, 1)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.html", "a.json", "a.xml", "b.json"]
    assert one.out.endswith("json report: out/a.json\nhtml report: out/a.html\njunit report: out/a.xml\n")
    first, second = (json.loads((tmp_path / "out" / f"{n}.json").read_text()) for n in "ab")
    assert _verdicts(first) == _verdicts(second)


def _verdicts(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(c["nodeid"], c["verdict"]) for cluster in result["clusters"] for c in cluster["checks"]]


def test_selection(run_kspec: Kspec, manifests: Path) -> None:
    spec = EXAMPLES / "specs" / "production.yaml"
    said = run_kspec("scan", spec, "--cluster", manifests, "-k", "hostNamespaces", "--json")
    assert [c["id"] for c in json.loads(said.out)["clusters"][0]["checks"]] == [
        "podSecurity.standard[hostNamespaces]"
    ]
    said = run_kspec("scan", spec, "--cluster", manifests, "-k", "nothing")
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("error: no requirement matches -k 'nothing'.")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--cluster", "./nowhere"], "'./nowhere' is neither a path nor a kubeconfig context."),
        (["--fail-on", "hgih"], "--fail-on: unknown level 'hgih'. Did you mean 'high'?"),
        (["--report", "jsn:x"], "--report jsn:x: unknown report format 'jsn'. Did you mean 'json'?"),
        (["--report", "crr"], "--report crr: unknown report format 'crr'. Did you mean 'cr'?"),
        (["-k", "(("], "Wrong expression passed to '-k'"),
        (["--checks", "nowhere"], "nowhere: the file or folder of checks does not exist. Check --checks."),
    ],
)
def test_usage_errors(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, words: list[str], error: str
) -> None:
    cluster = [] if "--cluster" in words else ["--cluster", manifests]
    said = run_kspec("scan", write_spec(HOST_PID), *cluster, *words)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith(f"error: {error}")


@pytest.mark.parametrize(
    ("config", "wrong", "said"),
    [
        ("{contexts: []}", "nope", "'nope' is neither a path nor a kubeconfig context."),
        ("a: [", "eu", "the kubeconfig is not valid YAML."),
        (None, "./gone.tar.gz", "'./gone.tar.gz' is neither a path nor a kubeconfig context."),
    ],
    ids=["context", "kubeconfig", "path"],
)
def test_a_cluster_of_several_that_cannot_be_opened_is_an_error_of_its_own(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path,
    config: str | None, wrong: str, said: str,
) -> None:  # fmt: skip
    asked = ["scan", write_spec(HOST_PID), "--cluster", wrong, "-o", "json"]
    if config is not None:
        (tmp_path / "config").write_text(config)
        asked += ["--kubeconfig", tmp_path / "config"]
    both = run_kspec(*asked, "--cluster", manifests)
    results = {cluster["name"]: cluster for cluster in json.loads(both.out)["clusters"]}
    assert (both.code, results.keys()) == (2, {wrong, manifests.name})
    (check,) = results[wrong]["checks"]
    assert (check["verdict"], said in check["reason"], results[wrong]["summary"]["score"]) == (
        "error",
        True,
        None,
    )
    assert results[manifests.name]["checks"][0]["verdict"] == "pass"
    alone = run_kspec(*asked)
    assert (alone.code, alone.out, said in alone.err) == (4, "", True)


def test_spec_errors_come_all_at_once(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path) -> None:
    said = run_kspec("scan", write_spec("{netwrok: {}, rbca: {}}"), "--cluster", manifests)
    assert (said.code, said.out) == (4, "")
    assert len(said.err.splitlines()) == 2


def test_a_report_that_cannot_be_written(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path) -> None:
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests, "--report", "json:/dev/full")
    assert said.code == 2
    assert "the json report could not be written: No space left on device" in said.err
    assert "COMPLIANT" in said.out


def test_the_project_around_it_does_not_matter(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    (elsewhere / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (elsewhere / "test_other.py").write_text("def test_fails(): assert False\n")
    spec = write_spec(HOST_PID)
    said = run_kspec("scan", spec, "--cluster", manifests, cwd=elsewhere, PYTEST_ADDOPTS="--nonsense")
    assert (said.code, said.err) == (0, "")
    said = run_kspec("scan", spec, "--cluster", manifests, "-n", "2", cwd=elsewhere)
    assert (said.code, said.err) == (0, "")
    assert sorted(p.name for p in elsewhere.iterdir() if p.name != "__pycache__") == [
        "pytest.ini",
        "test_other.py",
    ]


def test_ctrl_c_reports_what_ran(write_spec: WriteSpec, tmp_path: Path) -> None:
    checks = tmp_path / "test_slow.py"
    checks.write_text(
        '''
import pathlib, time
from pytest_kspec import check

@check(id="slow.sleep", title="Sleeps", severity="low", remediation="Wake it.")
def test_sleep(cluster):
    """It takes its time."""
    pathlib.Path("started").touch()
    time.sleep(60)
'''
    )
    words = ["scan", str(write_spec(HOST_PID)), "--cluster", str(RECORDING), "--checks", str(checks)]
    # Whoever runs the tests in the background has made them deaf to Ctrl-C, and what they start with them.
    hearing = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pytest_kspec.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hearing, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "slow.sleep" in out
    assert "not run" in out
    assert "NOT FULLY EVALUATED" in out


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
EMPTY = "nothing was evaluated for shop 1.0.0: no object matches its requirements."


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_nothing_to_evaluate_is_an_error(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """A wrong path in CI, alone and beside a right one."""
    (tmp_path / "wrong.yaml").write_text(CONFIG_MAP)
    words = ("scan", write_spec("podSecurity: {enforce: privileged}\n  " + HOST_PID), *workers)
    said = run_kspec(*words, "--cluster", "wrong.yaml")
    assert (said.code, "NOTHING EVALUATED" in said.out) == (2, True)
    assert said.err == (
        f"error: wrong.yaml: {EMPTY} Check that this is the right cluster or folder. "
        "If this is intended, add --allow-empty.\n"
    )
    both = run_kspec(*words, "--cluster", "wrong.yaml", "--cluster", manifests)
    assert (both.code, EMPTY in both.err) == (2, True)
    for clusters in (("wrong.yaml",), ("wrong.yaml", manifests)):
        refs = [word for cluster in clusters for word in ("--cluster", cluster)]
        allowed = run_kspec(*words, "--allow-empty", *refs)
        assert (allowed.code, allowed.err) == (0, "")


MARKED = """
import pytest
from pytest_kspec import check
@pytest.mark.skip(reason="not this quarter")
@check(id="acme.named", title="Named", severity="low", remediation="Name it.")
def test_named(workloads, findings):
    '''Names matter.'''
    for workload in workloads:
        findings.add(workload, message="seen")
"""


def test_checks_that_a_mark_skips_are_said_to_be_skipped(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    """There are objects; that none matches would be false."""
    (tmp_path / "test_marked.py").write_text(MARKED)
    spec = write_spec("checks: [test_marked.py]")
    said = run_kspec("scan", spec, "--cluster", manifests, "-k", "acme")
    assert (said.code, "NOTHING EVALUATED" in said.out) == (2, True)
    assert "every check was skipped. Reason: not this quarter." in said.err
    assert "no object matches" not in said.err


def test_a_selection_of_which_nothing_was_evaluated_is_an_error(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path
) -> None:
    spec = write_spec(f"network: {{allowedServiceTypes: [ClusterIP]}}\n  {HOST_PID}")
    words = ("scan", spec, "--cluster", manifests, "-k", "allowedServiceTypes")
    assert run_kspec(*words).code == 2
    assert run_kspec(*words, "--allow-empty").code == 0
    assert run_kspec("scan", spec, "--cluster", manifests).code == 0


def test_what_is_wrong_weighs_more_than_nothing(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(CONFIG_MAP)
    spec = write_spec("workloads: {containers: {forbidden: [{key: hostNetwork, value: true}]}}")
    words = ("scan", spec, "--cluster", manifests, "--cluster", "wrong.yaml")
    assert run_kspec(*words).code == 2
    assert run_kspec(*words, "--fail-on", "critical").code == 2
    assert run_kspec(*words, "--allow-empty").code == 1


def test_a_specification_that_is_not_active_asks_for_nothing(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path
) -> None:
    later = "timeBasedActivation: {enabled: true, activePeriods: [{startDate: 2999-01-01}]}"
    said = run_kspec("scan", write_spec(f"{HOST_PID}\n  {later}"), "--cluster", manifests)
    assert (said.code, "NOTHING EVALUATED" in said.out) == (0, True)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_a_template_needs_no_file(run_kspec: Kspec, tmp_path: Path, workers: tuple[str, ...]) -> None:
    said = run_kspec(
        "scan", "--template", "security-baseline", "--cluster", RECORDING, "-o", "json", *workers
    )
    assert (said.code, said.err) == (1, "")
    (cluster,) = json.loads(said.out)["clusters"]
    assert (cluster["spec"]["name"], cluster["spec"]["path"]) == (
        "security-baseline",
        "template:security-baseline",
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(spec="policyTemplate: {name: security-baseline}"))
    written = run_kspec("scan", spec, "--cluster", RECORDING, "-o", "json", *workers)
    (again,) = json.loads(written.out)["clusters"]
    assert [(c["id"], c["verdict"], c["findings"]) for c in cluster["checks"]] == [
        (c["id"], c["verdict"], c["findings"]) for c in again["checks"]
    ]
    wrong = run_kspec("scan", "--template", "security-basline", "--cluster", RECORDING)
    assert (wrong.code, "Did you mean 'security-baseline'?" in wrong.err) == (4, True)


def test_a_template_for_other_commands(run_kspec: Kspec, manifests: Path) -> None:
    name = "template:security-baseline"
    assert run_kspec("validate", name).code == 0
    assert run_kspec("render", name).code == 0
    assert run_kspec("enforce", name, "--mode", "audit", "-o", "-").code == 0
    assert run_kspec("fix", name, "--cluster", manifests).code == 0
    run_kspec("scan", name, "--cluster", RECORDING, "--report", "json:result.json")
    said = run_kspec("evidence", "--from", "result.json", "--key", "none", "-o", "e.tar.gz")
    assert said.code == 4


def test_a_specification_that_asks_for_nothing_is_noticed_beside_another(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    good = write_spec(NO_HOST_NETWORK)
    empty = tmp_path / "empty.yaml"
    empty.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: empty, version: 1.0.0}\nspec: {}\n"
    )
    said = run_kspec("scan", good, empty, "--cluster", manifests)
    assert said.code == 4
    assert f"{empty}: the specification does not require any check." in said.err
    assert run_kspec("scan", good, empty, "--cluster", manifests, "--allow-empty").code == 1


ODD_CHECKS = r'''
from pytest_kspec import ResourceRef, check

@check(id="acme.surrogate", title="t", severity="low", remediation="r")
def test_surrogate(findings):
    """Why."""
    findings.add(
        ResourceRef("v1", "Pod", "d", "n\ud800"),
        path="p\ud800", actual={"\ud800": ["\udfff"]}, expected="e\ud800", message="m\ud800", container="c\ud800",
    )

@check(id="acme.number", title="t", severity="low", remediation="r")
def test_number(findings):
    """Why."""
    import warnings
    warnings.warn("odd \ud800")
    findings.add(None, path="p", actual=[-3_000_000_000, -(2**63), 2**64 - 1, 2**70, -(10**400)], expected="e")

@check(id="acme.error", title="t", severity="low", remediation="r")
def test_error(findings):
    """Why."""
    findings.error("broken \ud800")

@check(id="acme.raised", title="t", severity="low", remediation="r")
def test_raised(findings):
    """Why."""
    raise ValueError("broken \ud800")

@check(id="acme.skipped", title="t", severity="low", remediation="r")
def test_skipped(findings):
    """Why."""
    findings.skip("none \ud800")

@check(id="acme.types", title="t", severity="low", remediation="r")
def test_types(findings):
    """Why."""
    findings.add(ResourceRef("v1", "Pod", None, 7), path="p", container=None)
'''


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one", "workers"])
def test_what_a_check_says_never_ends_the_run(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """Texts that UTF-8 cannot hold, numbers that execnet cannot send, things that are no text."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "test_odd.py").write_text(ODD_CHECKS)
    spec = write_spec(HOST_PID)
    said = run_kspec(
        "scan", spec, "--checks", folder, "--cluster", manifests, "--report", "json:odd.json", *workers
    )
    assert said.code == 2
    (cluster,) = json.loads((tmp_path / "odd.json").read_bytes())["clusters"]
    made = {c["id"]: (c["verdict"], c["reason"], c["findings"]) for c in cluster["checks"]}
    assert made["acme.error"] == ("error", r"broken \ud800", [])
    assert made["acme.raised"] == ("error", r"the check raised ValueError: broken \ud800", [])
    assert made["acme.skipped"] == ("skip", r"none \ud800", [])
    (number,) = made["acme.number"][2]
    assert number["actual"] == [-3_000_000_000, -(2**63), 2**64 - 1, str(2**70), str(-(10**400))]
    (text,) = made["acme.surrogate"][2]
    assert (text["resource"]["name"], text["path"], text["actual"]) == (
        r"n\ud800",
        r"p\ud800",
        {r"\ud800": [r"\udfff"]},
    )
    assert (text["expected"], text["message"], text["container"]) == (r"e\ud800", r"m\ud800", r"c\ud800")
    (types,) = made["acme.types"][2]
    assert (types["resource"]["namespace"], types["resource"]["name"], types["container"]) == ("", "7", "")
