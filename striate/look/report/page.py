"""The page that the sections stand on."""

from collections.abc import Callable, Sequence
from importlib.resources import files

from striate.data.wording import percent, plural
from striate.look import page as sheet
from striate.look.markup import Markup, raw, tag
from striate.look.report import pictures
from striate.look.report.answers import says, sees
from striate.look.report.evidence import believed, pixels, where
from striate.look.report.looked import Looked, Subject
from striate.look.report.network import Network, network
from striate.look.report.one_unit import one_unit
from striate.look.report.parts import quoted
from striate.look.report.stages import stages

Section = Callable[[Looked, Subject], Markup | None]
SECTIONS: dict[str, tuple[str, Section]] = {
    "says": ("What it says", lambda looked, _: says(looked)),
    "sees": ("What it sees", lambda looked, subject: sees(looked, subject.classifier.preprocess)),
    "where": ("Where it looks", lambda looked, _: where(looked)),
    "pixels": ("Which pixels matter", lambda looked, _: pixels(looked)),
    "believed": ("Can these be believed?", lambda looked, _: believed(looked)),
    "stages": ("Stages", lambda looked, _: stages(looked)),
    "unit": ("One unit", one_unit),
}


def whole(subject: Subject, about: Network, images: Sequence[Looked]) -> str:
    """One self-contained page."""
    body = tag("body", tag("main", *_body(subject, about, images), class_="report"), class_="striate")
    return sheet.html(_title(subject, images), raw(sheet.style(), style()), body)


def fragment(subject: Subject, about: Network, images: Sequence[Looked]) -> str:
    """The same to stand in a notebook."""
    return sheet.part(style(), tag("div", *_body(subject, about, images), class_="report"))


def style() -> Markup:
    """What the report adds to the style of all sheets."""
    return tag("style", Markup(files("striate.look.report").joinpath("report.css").read_text(encoding="utf-8")))


def _title(subject: Subject, images: Sequence[Looked]) -> str:
    return f"What {subject.title} sees in {images[0].name if len(images) == 1 else plural(len(images), 'image')}"


def _body(subject: Subject, about: Network, images: Sequence[Looked]) -> list[Markup]:
    doubts = [looked for looked in images if looked.warnings]
    notes = subject.classifier.notes
    return [
        tag(
            "header",
            tag("p", about.about, class_="eyebrow"),
            tag("h1", _title(subject, images)),
            *(tag("p", f"Note: {note}.", class_="about") for note in notes),
            _contents(images) if len(images) > 1 else None,
        ),
        *(_article(looked, subject, i, len(images) == 1) for i, looked in enumerate(images, 1)),
        network(about, images),
        _footer(doubts, len(images)),
    ]


def _contents(images: Sequence[Looked]) -> Markup:
    return tag(
        "ol",
        *(
            tag(
                "li",
                tag(
                    "a",
                    pictures.picture(looked.seen, f"Thumbnail of {looked.name}", largest=160),
                    tag("b", tag("bdi", looked.prediction.label)),
                    tag("small", percent(looked.prediction.probability), " · ", tag("bdi", looked.name)),
                    tag("small", "with doubts", class_="doubtful") if looked.warnings else None,
                    href=f"#image-{i}",
                ),
            )
            for i, looked in enumerate(images, 1)
        ),
        class_="contents",
    )


def _article(looked: Looked, subject: Subject, number: int, only: bool) -> Markup:
    best = looked.prediction
    made = {key: show(looked, subject) for key, (_, show) in SECTIONS.items()}
    links = [
        tag("a", title, href=f"#image-{number}-{key}") for key, (title, _) in SECTIONS.items() if made[key] is not None
    ]
    links.append(tag("a", "The network", href="#network"))
    return tag(
        "article",
        tag("p", tag("bdi", looked.name), class_="eyebrow") if not only else None,
        tag("h2", quoted(best.label), " ", tag("span", percent(best.probability), class_="sure")),
        tag("nav", *links, class_="within", aria_label=f"Parts about {looked.name}"),
        *(tag("div", part, id=f"image-{number}-{key}") for key, part in made.items() if part is not None),
        id=f"image-{number}",
        class_="only" if only else None,
    )  # fmt: skip


def _footer(doubts: Sequence[Looked], count: int) -> Markup:
    of = "The maps" if count == 1 else f"Maps of {len(doubts)} of {plural(count, 'image')}"
    said = f" {of} carry warnings; they stand beside the maps." if doubts else ""
    return tag(
        "footer",
        tag("p", "Made by Striate. Scores are logits; maps are made in evaluation mode, and the network is left as it "
            f"was.{said} Methods: Grad-CAM (arXiv:1610.02391), integrated gradients (arXiv:1703.01365), tests by "
            "randomised weights (arXiv:1810.03292), deletion and insertion (arXiv:1806.07421)."),
    )  # fmt: skip
