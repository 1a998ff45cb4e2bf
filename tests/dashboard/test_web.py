"""What is refused, limited, escaped and said where the store is away."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import urllib3
from openapi_spec_validator import validate

from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.dashboard.web import HEADERS
from tests.reports.results import ESCAPES, EVIL, check, cluster, finding, one, ref, scan

from .conftest import stored
from .serving import Client, serving

LISTS = ("results", "requirements", "verdicts", "findings", "frameworks", "exemptions", "drift", "trend")


def test_every_answer_has_the_headers(open_dashboard: Client) -> None:
    for path in ("/", "/nothing", "/api/v1/results", "/health", "/static/report.css", "/api/v1/results?x=1"):
        answer = open_dashboard.get(path)
        assert {name: answer.headers[name] for name, _ in HEADERS} == dict(HEADERS), path
        assert "Cache-Control" in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/api/v1/results", "/api/summary"])
def test_nothing_can_be_written(open_dashboard: Client, method: str, path: str) -> None:
    assert open_dashboard.get(path, method).status == 405


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("bogus=1", "unknown parameter 'bogus'"),
        ("page=0", "must be a number from 1"),
        ("page=-1", "must be a number from 1"),
        ("page=%D9%A1", "must be a number from 1"),
        ("size=501", "to 500"),
        ("state=red", "must be one of"),
        ("order=; DROP", "must be one of"),
        ("q=" + "a" * 257, "more than 256"),
        ("q=a&q=b", "given twice"),
        ("q=%00", "contains a NUL"),
        ("q=%ff", "cannot be read"),
    ],
)
def test_a_wrong_query_is_said(open_dashboard: Client, query: str, says: str) -> None:
    answer = open_dashboard.get(f"/api/v1/results?{query}")
    assert (answer.status, says in answer.json()["error"]) == (400, True), answer.data


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/results", "/health", "/static/report.css", "/nothing", "/api/v1/x"]
)
def test_head_says_what_get_would_without_a_body(open_dashboard: Client, path: str) -> None:
    whole, head = open_dashboard.get(path), open_dashboard.get(path, "HEAD")
    assert (head.status, head.data) == (whole.status, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Content-Security-Policy"):
        assert head.headers.get(name) == whole.headers.get(name), name


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v1/"])
def test_who_asks_what_the_api_has_is_led_to_its_document(open_dashboard: Client, path: str) -> None:
    answer = open_dashboard.get(path)
    assert (answer.status, answer.headers["Location"]) == (307, "/api/v1/openapi.json")
    assert open_dashboard.get("/api/v2/results").json()["status"] == 404


@pytest.mark.parametrize(
    ("path", "to"),
    [("/findings/", "/findings"), ("/api/v1/results//?q=a&page=2", "/api/v1/results?q=a&page=2")],
)
def test_a_slash_too_many_leads_to_the_page_of_this_host_only(
    open_dashboard: Client, path: str, to: str
) -> None:
    answer = open_dashboard.get(path, Host="evil.example")
    assert (answer.status, answer.headers["Location"]) == (307, to), (
        "no host, no scheme: those of the browser"
    )
    for other in ("//evil.example/", "//evil.example/findings/", "/nothing/", "///findings/"):
        assert open_dashboard.get(other).status == 404, other


ODD = (
    "0",
    "-0",
    "+1",
    "1.0",
    "1e3",
    " 1",
    "\n1",
    "0x1",
    "1_000",
    "9" * 23,
    str(2**63),
    "NaN",
    "null",
    "１",
    "[]",
)


@pytest.mark.parametrize("name", ["page", "size", "days"])
def test_odd_numbers_are_refused(open_dashboard: Client, name: str) -> None:
    for text in ODD:
        for path in ("/api/v1/trend", "/trend"):
            answer = open_dashboard.get(f"{path}?{name}={quote(text)}")
            assert answer.status == 400, (path, text)


@pytest.mark.parametrize(
    "path", ["/?q=", "/api/v1/findings?q=", "/finding?id=", "/cluster?cluster=", "/requirement?check="]
)
def test_very_long_parameters_are_refused_and_end_nothing(open_dashboard: Client, path: str) -> None:
    for length in (257, 8_000, 200_000):
        try:
            assert open_dashboard.get(path + "a" * length).status == 400
        except urllib3.exceptions.ProtocolError:  # longer than a request may be: the connection was closed
            assert length == 200_000
    assert open_dashboard.get("/health").status == 200


SEARCHED = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' OR 1=1 --",
    "javascript:alert(1)",
    "{{7*7}}",
    "%",
    "_",
    "\\",
    "\u202e",
    "&lt;script&gt;",
)


@pytest.mark.parametrize("path", ["/", "/findings", "/requirements", "/exemptions", "/drift", "/frameworks"])
def test_what_is_searched_for_is_text(open_dashboard: Client, path: str) -> None:
    for text in SEARCHED:
        page = open_dashboard.page(f"{path}?q={quote(text)}")
        assert "<script" not in page, text
        assert "<img" not in page, text
        assert 'href="javascript' not in page


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1].evil", ""])
def test_without_authentication_a_name_of_another_site_reaches_nothing(
    open_dashboard: Client, host: str
) -> None:
    answer = open_dashboard.get("/api/v1/results", Host=host)
    assert (answer.status, answer.headers["Cache-Control"]) == (403, "no-store")


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    evil = f"\"{EVIL}{ESCAPES}'&"
    found = finding(ref("Pod", evil, evil), evil, evil, evil, container=evil)
    checks = (
        check(evil, evil, "high", "fail", findings=(found,), remediation=evil),
        check("e", "e", "low", "error", reason=evil),
    )
    made = cluster(evil, uid=evil, spec_name=evil, spec_version=evil, version=evil, checks=checks)
    with serving(StoreSource(stored(tmp_path / "results.db", scan(made), one()))) as client:
        (row,) = [r for r in client.json("/api/v1/results")["items"] if r["cluster"] != "prod-eu"]
        found_row = next(r for r in client.json("/api/v1/findings?q=onerror")["items"] if r["check"] != "e")
        for path in (
            "/",
            f"/?q={quote(EVIL)}",
            f"/cluster?cluster={quote(row['clusterId'])}",
            "/requirements",
            f"/requirement?check={quote(found_row['check'])}",
            "/findings",
            f"/finding?id={found_row['id']}",
            "/exemptions",
            f"/finding?id={quote(EVIL)}",
        ):
            answer = client.get(path)
            assert answer.status == (404 if path.endswith(quote(EVIL)) and "finding?" in path else 200), path
            text = answer.data.decode()
            assert "<img" not in text, path
            assert "\x1b" not in text
            assert "\x00" not in text
            assert 'onerror=alert(1)"' not in text.replace("&#34;", "")


class Breaking(StoreSource):
    """A store that is away when it is told to."""

    away = False

    def read(self, ask: Any) -> Any:
        if self.away:
            from pytest_kspec.errors import StoreError

            raise StoreError("connection refused.", where="postgresql://kspec:***@db/kspec")
        return super().read(ask)


def test_pages_say_how_old_they_are_while_the_store_is_away(fleet_store: str) -> None:
    source = Breaking(fleet_store)
    with serving(source) as client:
        before = client.get("/")
        assert "not the current state" not in before.data.decode()
        old = client.json("/api/v1/results")
        client.json("/api/summary")
        source.away = True
        page = client.page("/")
        assert "This is not the current state" in page
        assert "connection refused" in page
        assert "postgresql://" not in page
        assert client.get("/", If_None_Match=before.headers["ETag"]).status == 200
        now = client.json("/api/v1/results")
        assert now["items"] == old["items"]
        assert now["stale"]["problem"] == "connection refused."
        assert client.json("/api/summary")["stale"] == "connection refused."
        missing = client.get("/findings?q=never-asked")
        assert (missing.status, missing.headers["Cache-Control"]) == (503, "no-store")
        assert client.get("/health").data == b"OK"
        source.away = False
        assert client.json("/api/v1/results") == old


GOES: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda path: path.unlink(), "the store does not exist."),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty, not a store of kspec."),
    "half": (lambda path: path.write_bytes(path.read_bytes()[:40_000]), "database disk image is malformed."),
    "text": (lambda path: path.write_bytes(b"no database" * 100), "file is not a database."),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "it is not a file."),
    "a store without tables": (
        lambda path: (path.unlink(), _statement(path, "CREATE TABLE kspec_schema (version_num TEXT)")),
        "no such table: ",
    ),
    "another program's": (
        lambda path: (path.unlink(), _statement(path, "CREATE TABLE notes (id INTEGER)")),
        "it is a database of another program",
    ),
}


def _statement(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(text)
        connection.commit()


@pytest.mark.parametrize("how", GOES)
def test_a_store_that_goes_and_comes_back(tmp_path: Path, how: str) -> None:
    path = Path(stored(tmp_path / "results.db", one()))
    go, says = GOES[how]
    with serving(StoreSource(str(path))) as client:
        before = client.json("/api/v1/results")
        client.page("/")
        assert before["stale"] is None
        kept = path.read_bytes()
        go(path)
        was = [one.name for one in tmp_path.iterdir()]
        now = client.json("/api/v1/results")
        assert (now["items"], now["stale"]["problem"].startswith(says)) == (before["items"], True)
        assert "This is not the current state" in client.page("/")
        missing = client.get("/findings?q=never-asked")
        assert (missing.status, says in missing.data.decode()) == (503, True)
        assert [one.name for one in tmp_path.iterdir()] == was, "what reads makes no file"
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(kept)
        assert client.json("/api/v1/results") == before


def test_a_client_is_limited_by_its_address_whatever_it_says_of_itself(fleet_store: str) -> None:
    with serving(StoreSource(fleet_store), rate=1 / 3600) as client:
        answers = [
            client.get(
                "/health", X_Forwarded_For=f"10.0.0.{n}", Forwarded=f"for=10.0.0.{n}", X_Real_IP=f"10.1.1.{n}"
            )
            for n in range(20)
        ]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) == 19, "one an hour, however long this took"
        assert refused[0].headers["Retry-After"] == "1"


def test_the_document_describes_the_answers(open_dashboard: Client) -> None:
    document = open_dashboard.json("/api/v1/openapi.json")
    validate(document)
    assert set(document["paths"]) == {f"/api/v1/{name}" for name in LISTS}
    for path, item in document["paths"].items():
        schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = open_dashboard.json(path)
        assert answer["items"] or path.endswith("/drift"), path
        jsonschema.validate(answer, {**schema, "components": document["components"]})
        for row in answer["items"]:
            assert set(row) == set(_properties(schema, document)), path
        for parameter in item["get"]["parameters"]:
            assert open_dashboard.get(f"{path}?{parameter['name']}=1").status in (200, 400)
    error = open_dashboard.get("/api/v1/results?page=x").json()
    jsonschema.validate(error, document["components"]["schemas"]["Problem"])


def _properties(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    name = schema["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
    return list(document["components"]["schemas"][name]["properties"])


def test_routes_of_before_have_their_keys(open_dashboard: Client) -> None:
    summary = open_dashboard.json("/api/summary")
    assert list(summary)[:6] == [
        "TotalClusters",
        "HealthyClusters",
        "UnhealthyClusters",
        "TotalChecks",
        "PassedChecks",
        "FailedChecks",
    ]
    assert summary["HealthyClusters"] + summary["UnhealthyClusters"] == summary["TotalClusters"] == 51
    rows = open_dashboard.json("/api/clusters?cluster_spec=strict")
    assert [row["ClusterName"] for row in rows] == sorted(row["ClusterName"] for row in rows)
    assert {"ClusterUID", "IsLocal", "LastScanTime", "ComplianceScore", "reachable", "version"} <= set(
        rows[0]
    )
    failures = open_dashboard.json("/api/failures")
    assert {check["status"] for checks in failures.values() for check in checks} == {"Fail"}
    assert sum(map(len, failures.values())) == summary["FailedChecks"]
    answer = open_dashboard.get("/api/summary?cluster_spec=other")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert "error" in answer.json()


def test_a_cluster_of_which_nothing_could_be_read_is_not_reachable(tmp_path: Path) -> None:
    made = cluster("dead", checks=(check("a.b", "t", "high", "error", reason="connection refused"),))
    with serving(StoreSource(stored(tmp_path / "results.db", scan(made)))) as client:
        (row,) = client.json("/api/clusters")
        assert row["reachable"] is False
        assert client.json("/api/summary")["UnhealthyClusters"] == 1


def test_a_store_without_results(tmp_path: Path) -> None:
    with serving(StoreSource(stored(tmp_path / "results.db"))) as client:
        assert "No results are stored yet." in client.page("/")
        for path in ("/requirements", "/findings", "/frameworks", "/exemptions", "/trend"):
            client.page(path)
        assert client.get("/api/summary").json() == {"error": "No ClusterSpecifications found"}
    assert os.path.exists(tmp_path / "results.db")
