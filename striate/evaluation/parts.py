"""The pieces that the page's sections are put together from."""

from collections.abc import Iterable
from typing import Any

from striate.evaluation.metrics import Share
from striate.evaluation.words import interval, percent
from striate.look.markup import Child, Markup, raw, tag


def section(title: str, *children: Child) -> Markup:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *children)


def soft(*words: Child) -> Markup:
    """A paragraph that may be passed over."""
    return tag("p", *words, class_="soft")


def table(head: Iterable[Child], rows: Iterable[Markup], class_: str = "") -> Markup:
    """A table in a box that scrolls sideways where the screen is too narrow."""
    first = tag("tr", *(tag("th", one, scope="col") for one in head))
    return tag("div", tag("table", tag("thead", first), tag("tbody", *rows), class_=class_ or None), class_="scroll")


def row(name: str, *cells: Child, class_: str = "") -> Markup:
    """A row of a table: a name, then cells; a cell that is a `td` already stays as it is."""
    made = (one if isinstance(one, Markup) and one.startswith("<td") else tag("td", one) for one in cells)
    return tag("tr", tag("th", tag("bdi", name), scope="row"), *made, class_=class_ or None)


def folded(summary: str, content: Child) -> Markup:
    """Something for those who want to know, closed at first."""
    return tag("details", tag("summary", summary), content)


def facts(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Names with their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows), class_="facts")


def quoted(name: str) -> Markup:
    """The name of a class, told apart from the words around it."""
    return tag("b", "“", tag("bdi", name.strip() or "␣"), "”", class_="name")


def share(value: Share | None) -> Child:
    """A share with its interval in small print."""
    if value is None:
        return tag("span", "none", class_="soft")
    return raw(percent(value.value), " ", tag("small", interval(value)))


def plain(value: Any) -> str:
    """A setting as a reader wants it.

    >>> plain(0.0020), plain(True), plain([1, 2]), plain("")
    ('0.002', 'yes', '1, 2', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value)
    return "none" if value is None or value == "" else str(value)
