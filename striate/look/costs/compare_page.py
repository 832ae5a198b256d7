"""A comparison as one page: the picture, the table with whose figure each is, and how to read them."""

from striate.look import page as sheet
from striate.look.costs.compare import Compared, Comparison
from striate.look.costs.compare_picture import picture
from striate.look.markup import Markup, tag


def page(comparison: Comparison) -> str:
    """One self-contained page."""
    names = ", ".join(one.name for one in comparison.networks)
    head = tag("header", tag("p", "Figures that others published", class_="about"), tag("h1", "Networks compared"))
    return sheet.document(f"Compared: {names}", head, *_body(comparison))


def fragment(comparison: Comparison) -> str:
    """The same without a page around it."""
    return sheet.part(*_body(comparison))


def _body(comparison: Comparison) -> list[Markup]:
    drawn = [tag("figure", Markup(picture(comparison).svg()))] if comparison.drawn else []
    numbers = [(title, "n") for title in ("top-1, %", "top-5, %", "MACs", "parameters", "image")]
    words = [(title, "") for title in ("figure of", "weights", "tested on")]
    titles = [("name", ""), ("year", ""), *numbers, *words]
    table = sheet.grid(titles, [_row(one) for one in comparison.networks])
    return [*drawn, table, *(tag("p", note, class_="notes") for note in comparison.notes())]


def _row(one: Compared) -> Markup:
    r = one.reached
    cells = [tag("td", one.name, class_="name"), tag("td", str(one.year))]
    accuracies = [f"{value:.2f}" if value else "" for value in ((r.top1, r.top5) if r else (None, None))]
    numbers = [*accuracies, f"{one.macs:,}", f"{one.parameters:,}", str(one.side)]
    cells += [tag("td", number, class_="n") for number in numbers]
    said = (r.publisher, r.tag, f"{r.data}: {r.protocol}") if r else ("nobody", "", "")
    return tag("tr", *cells, *(tag("td", words, class_="soft words") for words in said))
