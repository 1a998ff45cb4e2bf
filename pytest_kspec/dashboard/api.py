"""/api/v1: the lists as JSON, and the OpenAPI document that is made of the same table."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from pytest_kspec import __version__
from pytest_kspec.dashboard.asked import CHOICES, LONGEST, NUMBERS, STATES_OF, Asked
from pytest_kspec.dashboard.lists import LISTS as LISTS
from pytest_kspec.dashboard.source import Known
from pytest_kspec.storage.cut import MOST_ROWS

PREFIX = "/api/v1"
_OF_PAGES = {
    "/": "results",
    "/requirements": "requirements",
    "/requirement": "verdicts",
    "/findings": "findings",
    "/finding": "findings",
    "/framework": "frameworks",
    "/frameworks": "frameworks",
    "/exemptions": "exemptions",
    "/drift": "drift",
    "/trend": "trend",
}
_ABOUT = {
    "q": "Words, each of which must occur in one of the texts of a row, in any case.",
    "cluster": "Identity of a cluster, which is `clusterId` in results.",
    "spec": "Name of a specification.",
    "check": "Id of a requirement.",
    "framework": "Id of a framework.",
    "id": "Id of a finding.",
    "severity": "Severity of the requirement.",
    "state": "State.",
    "verdict": "Verdict.",
    "namespace": "Namespace of the object.",
    "order": "Order of the rows.",
    "days": "Number of days up to today (UTC).",
    "page": "Number of the page, from 1.",
    "size": f"Rows of a page, at most {MOST_ROWS}.",
}


def of_page(path: str, asked: Asked) -> str:
    """The address of the same rows as data; "" where a page is of several lists."""
    name = _OF_PAGES.get(path)
    if name is None:
        return ""
    names = {*LISTS[name].names, "page", "size"}
    kept = {key: value for key, value in asked._asdict().items() if key in names}
    return f"{PREFIX}/{name}{Asked(**kept).query()}"


def document(known: Known, asked: Asked) -> bytes:
    """One page of a list."""
    found = known.value
    return msgspec.json.encode(
        {
            "apiVersion": "kspec.io/v1",
            "items": found.rows,
            "total": found.total,
            "counts": dict(found.counts),
            "page": asked.page,
            "size": asked.size,
            # Only where it is not now: what is the same has the same bytes, and the same ETag.
            "stale": {"asOf": known.as_of.strftime("%Y-%m-%dT%H:%M:%SZ"), "problem": known.problem}
            if known.problem
            else None,
        }
    )


def problem(status: int, text: str) -> bytes:
    """What went wrong."""
    return msgspec.json.encode({"apiVersion": "kspec.io/v1", "status": status, "error": text})


@cache
def openapi() -> bytes:
    """The document, OpenAPI 3.1."""
    rows, components = msgspec.json.schema_components(
        [one.row for one in LISTS.values()], ref_template="#/components/schemas/{name}"
    )
    paths = {
        f"{PREFIX}/{name}": {"get": _operation(name, row)} for name, row in zip(LISTS, rows, strict=True)
    }
    components = dict(components) | {
        "Stale": {
            "description": "Set while the store is unavailable: the rows are those of an earlier time.",
            "type": "object",
            "required": ["asOf", "problem"],
            "properties": {"asOf": {"type": "string", "format": "date-time"}, "problem": {"type": "string"}},
        },
        "Problem": {
            "type": "object",
            "required": ["apiVersion", "status", "error"],
            "properties": {
                "apiVersion": {"type": "string"},
                "status": {"type": "integer"},
                "error": {"type": "string"},
            },
        },
    }
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "kspec dashboard",
            "version": __version__,
            "description": "Results of compliance scans, read-only. Rows are limited to what RBAC of the cluster "
            "grants the caller. Times are RFC 3339 in UTC; an empty text means that there is none.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the cluster that authenticates viewers.",
                }
            },
        },
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2)


def _operation(name: str, row: dict[str, Any]) -> dict[str, Any]:
    one = LISTS[name]
    made = {
        "type": "object",
        "required": ["apiVersion", "items", "total", "counts", "page", "size", "stale"],
        "properties": {
            "apiVersion": {"const": "kspec.io/v1"},
            "items": {"type": "array", "items": row, "maxItems": MOST_ROWS},
            "total": {"type": "integer", "description": "Number of rows of all pages."},
            "counts": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "description": "Number of rows by state or verdict, without the filter for it.",
            },
            "page": {"type": "integer"},
            "size": {"type": "integer"},
            "stale": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Stale"}]},
        },
    }
    refusals = {
        "304": {"description": "Not changed since the given ETag."},
        **{
            status: {
                "description": text,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for status, text in (
                ("400", "A parameter is unknown or has an invalid value."),
                ("401", "Missing or unknown credentials."),
                ("403", "RBAC grants nothing."),
                ("503", "The store or the API server is unavailable."),
            )
        },
        "429": {"description": "Too many requests of this client."},
    }
    return {
        "operationId": name,
        "summary": one.about,
        "parameters": [_parameter(name, key) for key in (*one.names, "page", "size")],
        "responses": {
            "200": {"description": "One page.", "content": {"application/json": {"schema": made}}},
            **refusals,
        },
    }


def _parameter(name: str, key: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": LONGEST}
    if key in NUMBERS:
        schema = {"type": "integer", "minimum": 1, "maximum": NUMBERS[key], "default": Asked()._asdict()[key]}
    elif key == "state":
        schema = {"type": "string", "enum": ["", *STATES_OF[name]]}
    elif key in CHOICES:
        schema = {"type": "string", "enum": ["", *CHOICES[key]]}
    return {"name": key, "in": "query", "description": _ABOUT[key], "schema": schema}
