"""One HTML file for what is to be read: no script, no request, nothing from elsewhere; light, dark, phone, print."""

from importlib.resources import files

from striate.look.markup import Child, Markup, raw, tag

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, *body: Child) -> str:
    """A whole page in the sheet's style."""
    return html(title, style(), tag("body", tag("main", *body), class_="striate"))


def html(title: str, css: Markup, body: Markup) -> str:
    """A whole page: nothing in it is fetched or run, light and dark."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        css,
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def part(*body: Child) -> str:
    """The same to stand in a notebook, in a box of its own."""
    return raw(style(), tag("div", *body, class_="striate"))


def style() -> Markup:
    """The sheet's style; all of its rules begin with .striate."""
    return tag("style", Markup(files("striate.look").joinpath("sheet.css").read_text(encoding="utf-8")))


def tiles(*facts: tuple[str, str, str]) -> Markup:
    """Figures to see first: what it is, the figure, and a note."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", what), tag("dd", tag("span", value, class_="value"), tag("span", note, class_="note")))
            for what, value, note in facts
        ),
        class_="tiles",
    )


def grid(titles: list[tuple[str, str]], rows: list[Markup]) -> Markup:
    """A table that scrolls where it is too wide; titles are (words, class)."""
    head = tag("tr", *(tag("th", words, class_=kind or None, scope="col") for words, kind in titles))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")
