r"""Pages of a PDF: text that wraps, and tables that go on over pages with their heads.

fpdf2 draws; wrapping and tables are ours, since its own cost 1.4 ms a cell, and a report of a fleet has 100,000. A
PDF's own fonts know Western European letters only, so a font is embedded (its used part). A character that this font
lacks is written as its code (`\u65e5`), never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import fontpkg
from fpdf import FPDF
from fpdf.fonts import TTFFont

from pytest_kspec.reports.shared.text import Measure, fold, printable

Colour = tuple[int, int, int]
INK, MUTED, LINE, SHADE = (24, 29, 36), (86, 97, 111), (208, 214, 221), (243, 245, 247)
_FONT, _FAMILY = "Report", "Fira Sans Condensed"
_WEIGHTS = {"": 400, "B": 600}
_LEFT, _TOP, _BOTTOM, _WIDTH = 15.0, 16.0, 280.0, 180.0
_MM = 25.4 / 72
_LEADING = 1.28
_PAD = 1.1


class Cell(NamedTuple):
    """One cell. style: "" or "B"; link: of `Pages.anchor`."""

    text: str
    style: str = ""
    colour: Colour = INK
    link: Any = None


class Column(NamedTuple):
    """width: mm; align: "L" or "R"; lines: at most so many, then it is cut and seen to be."""

    title: str
    width: float
    align: str = "L"
    lines: int = 8


class _Document(FPDF):
    def __init__(self, foot: str) -> None:
        super().__init__(unit="mm", format="A4")
        self._foot = foot
        self.alias_nb_pages("{pages}")  # as wide as the number may become

    def footer(self) -> None:
        """Whose page it is, and which of how many."""
        self.set_font(_FONT, "", 7.5)
        self.set_text_color(*MUTED)
        self.text(_LEFT, 289, self._foot)
        # Only `cell` puts the number of pages, which is not known yet, in the place of its alias.
        self.set_xy(_LEFT + _WIDTH - 24, 286)
        self.cell(24, 4, f"Page {self.page_no()} of {{pages}}")


class Pages:
    """Writes down the page, and onto the next one where it ends. Sizes in points, everything else in mm."""

    def __init__(self, title: str, author: str, creator: str, made: datetime) -> None:
        self._used_codes = False
        self._in_use: tuple[str, float, Colour] | None = None
        self._document = _Document("")
        for style, weight in _WEIGHTS.items():
            self._document.add_font(_FONT, style, fontpkg.path(_FAMILY, weight))
        font = self._document.fonts[_FONT.lower()]
        assert isinstance(font, TTFFont)
        self._glyphs = font.cmap.keys()  # both weights have the same
        self._widths: dict[str, dict[str, float]] = {style: {} for style in _WEIGHTS}
        document = self._document
        document._foot = self.known(title)
        document.set_auto_page_break(False)
        document.set_compression(True)
        document.set_lang("en")
        document.set_title(title)
        document.set_author(author)
        document.set_creator(creator)
        document.set_creation_date(made)
        self._y = _BOTTOM
        self.new_page()

    def known(self, text: str) -> str:
        """The text on one line, with codes for what the font lacks."""
        text = printable(text)
        if text.isascii():
            return text
        return "".join(c if ord(c) in self._glyphs else self._code(c) for c in text)

    def _code(self, char: str) -> str:
        self._used_codes = True
        return char.encode("unicode_escape").decode("ascii")

    def new_page(self) -> None:
        """Start a page."""
        self._document.add_page()
        self._in_use = None
        self._y = _TOP

    def need(self, height: float) -> bool:
        """Start a page if less than this is left; says whether it did."""
        if self._y + height <= _BOTTOM:
            return False
        self.new_page()
        return True

    def gap(self, height: float) -> None:
        """Leave room."""
        self._y += height

    def anchor(self) -> Any:
        """A place that cells can link to; `here` says where it is."""
        return self._document.add_link()

    def here(self, anchor: Any) -> None:
        """The anchor is this place."""
        self._document.set_link(anchor, y=self._y, page=self._document.page)

    def heading(self, text: str, level: int, *, colour: Colour = INK, bookmark: bool = True) -> None:
        """A heading of level 1 to 3. It stays with what follows, and is in the reader's outline."""
        size = {1: 19.0, 2: 13.5, 3: 10.0}[level]
        self.need(size * _MM * 2 + 14)
        text = self.known(text)
        if bookmark:
            self._document.set_y(self._y)
            self._document.start_section(text, level=level - 1)
        self._lines(text, _LEFT, _WIDTH, size, "B", colour)
        self.gap(1.2 if level > 1 else 2.5)

    def paragraph(self, text: str, *, size: float = 9.0, style: str = "", colour: Colour = INK) -> None:
        """Text over the whole width."""
        self._lines(self.known(text), _LEFT, _WIDTH, size, style, colour)
        self.gap(1.2)

    def facts(self, rows: Iterable[tuple[str, str]], size: float = 8.5) -> None:
        """Names and values, a line each; those without a value are left out."""
        for name, text in rows:
            if not text:
                continue
            lines = self._fold(self.known(text), _WIDTH - 36, size, "", 6)
            self.need(len(lines) * size * _MM * _LEADING)
            top = self._y
            self._draw([name], _LEFT, top, size, "", MUTED)
            self._y = self._draw(lines, _LEFT + 36, top, size, "", INK)
        self.gap(1.5)

    def tiles(self, entries: Sequence[tuple[str, str, Colour]]) -> None:
        """Big numbers in a row: number, word, colour."""
        width = _WIDTH / len(entries)
        self.need(20)
        for index, (number, word, colour) in enumerate(entries):
            left = _LEFT + index * width
            self._document.set_fill_color(*SHADE)
            self._document.rect(left, self._y, width - 2, 15, style="F")
            self._draw([number], left + 3, self._y + 1.2, 17, "B", colour)
            self._draw([word], left + 3, self._y + 9.2, 8, "", MUTED)
        self.gap(18.5)

    def table(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[Cell]],
        size: float = 8.0,
        last_page: int | None = None,
    ) -> int:
        """A table; its head comes again on each page. Returns how many rows are left out, to end on `last_page`."""
        titles = [Cell(column.title, "B", MUTED) for column in columns]
        self.need(22)
        self._row(columns, titles, size, shade=True)
        left = 0
        for row in rows:
            if left:
                left += 1
                continue
            laid = self._lay(columns, row, size)
            if self._y + self._height(laid, size) > _BOTTOM:
                if last_page is not None and self._document.page >= last_page:
                    left = 1
                    continue
                self.new_page()
                self._row(columns, titles, size, shade=True)
            self._put(columns, row, laid, size)
        self.gap(3)
        return left

    def _row(
        self, columns: Sequence[Column], row: Sequence[Cell], size: float, *, shade: bool = False
    ) -> None:
        self._put(columns, row, self._lay(columns, row, size), size, shade=shade)

    def _lay(self, columns: Sequence[Column], row: Sequence[Cell], size: float) -> list[list[str]]:
        return [
            self._fold(self.known(cell.text), column.width - 2 * _PAD, size, cell.style, column.lines)
            for column, cell in zip(columns, row, strict=True)
        ]

    @staticmethod
    def _height(laid: list[list[str]], size: float) -> float:
        return max(map(len, laid)) * size * _MM * _LEADING + 2 * _PAD

    def _put(
        self,
        columns: Sequence[Column],
        row: Sequence[Cell],
        laid: list[list[str]],
        size: float,
        *,
        shade: bool = False,
    ) -> None:
        document, height = self._document, self._height(laid, size)
        if shade:
            document.set_fill_color(*SHADE)
            document.rect(_LEFT, self._y, sum(c.width for c in columns), height, style="F")
        left = _LEFT
        for column, cell, lines in zip(columns, row, laid, strict=True):
            if column.align == "R":
                width = self._measure(cell.style, size)(lines[0])
                self._draw(
                    lines, left + column.width - _PAD - width, self._y + _PAD, size, cell.style, cell.colour
                )
            else:
                self._draw(lines, left + _PAD, self._y + _PAD, size, cell.style, cell.colour)
            if cell.link is not None:
                document.link(left, self._y, column.width, height, cell.link)
            left += column.width
        self._y += height
        document.set_draw_color(*LINE)
        document.line(_LEFT, self._y, left, self._y)

    def _lines(self, text: str, left: float, width: float, size: float, style: str, colour: Colour) -> None:
        lines = self._fold(text, width, size, style, 40)
        self.need(min(len(lines), 12) * size * _MM * _LEADING)
        for line in lines:
            self.need(size * _MM * _LEADING)
            self._y = self._draw([line], left, self._y, size, style, colour)

    def _measure(self, style: str, size: float) -> Measure:
        """The width of a text in mm. Nothing is kerned, so that it is that of its characters."""
        return partial(self._width, self._widths[style], style, size / 1000)

    def _width(self, known: dict[str, float], style: str, scale: float, text: str) -> float:
        try:
            return sum([known[c] for c in text]) * scale
        except KeyError:
            self._document.set_font(_FONT, style, 1000)
            self._in_use = None
            known |= {char: self._document.get_string_width(char) for char in text}
            return sum([known[c] for c in text]) * scale

    def _fold(self, text: str, width: float, size: float, style: str, lines: int) -> list[str]:
        measure = self._measure(style, size)
        return [text] if measure(text) <= width else fold(text, width, lines, measure=measure)

    def _draw(
        self, lines: Iterable[str], left: float, top: float, size: float, style: str, colour: Colour
    ) -> float:
        """Lines of text; returns where they end."""
        document = self._document
        if self._in_use != (style, size, colour):  # asking fpdf2 again costs as much as drawing
            document.set_font(_FONT, style, size)
            document.set_text_color(*colour)
            self._in_use = (style, size, colour)
        step = size * _MM * _LEADING
        for line in lines:
            document.text(left, top + step * 0.78, line)
            top += step
        return top

    def output(self) -> bytes:
        """The file."""
        if self._used_codes:
            self.gap(3)
            self.paragraph(
                "Characters that are not in the font of this report are written as their code, such as \\u65e5.",
                size=8,
                colour=MUTED,
            )
        return bytes(self._document.output())
