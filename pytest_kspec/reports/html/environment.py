"""Templates of pages and what they may call: the HTML report has them, and whatever else shows results in a browser."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from pytest_kspec.reports.html import data as html_data
from pytest_kspec.reports.shared import fleet, text, words
from pytest_kspec.results.order import by_owner

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(*folders: Path) -> jinja2.Environment:
    """Kept, and with it the compiled templates: compiling takes longer than a page of a few findings.

    folders: of further templates, looked in first
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        value=text.value,
        breakable=_breakable,
        printable=lambda name: text.printable(str(name)),
        lines=lambda said: text.printable_lines(str(said)),
        owners=by_owner,
        owner_name=html_data.owner_name,
        shows_change=html_data.shows_change,
        patch=html_data.patch,
        terms=html_data.terms,
        plural=text.plural,
        moment=words.moment,
        coverage=words.coverage,
        as_selected=lambda of: words.as_selected(of.selected, of.left_out),
        looked_at=words.looked_at,
        standing=words.standing,
        listed=fleet.listed,
        fragment=lambda anchor: "#" + quote(anchor),
    )
    return environment


def _breakable(path: str) -> Markup:
    """The field path, with places where a narrow column may break it."""
    return Markup(".<wbr>").join(text.printable(path).split("."))
