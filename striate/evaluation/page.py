"""The card as one HTML file: no script, no request, no font or picture from elsewhere; light, dark, phone, print.

A policy in the head forbids everything that is not in the file, and `markup` escapes every text, so that neither a
class name nor a file name can do more than be read.
"""

from importlib.resources import files

from striate.data.wording import plural
from striate.evaluation import charts
from striate.evaluation.card import Card, Compared
from striate.evaluation.findings import by_class, calibrated, close_calls, mistakes, most_wrong
from striate.evaluation.metrics import Metrics
from striate.evaluation.origins import making, meaning, origin
from striate.evaluation.parts import facts, plain, quoted, row, section, table
from striate.evaluation.words import brief, chance, interval, percent, points
from striate.look.markup import Child, Markup, raw, tag
from striate.look.page import html


def card_html(card: Card) -> str:
    """The whole page."""
    css = files("striate.evaluation").joinpath("card.css").read_text(encoding="utf-8")
    title = f"{card.facts.run}: {percent(card.metrics.accuracy.value)} of {card.metrics.images:,} {card.role} images"
    parts = (first, glance, beside, mistakes, most_wrong, close_calls, by_class, calibrated, making, origin, meaning)
    body = tag("body", tag("main", header(card), *(part(card) for part in parts)), footer(card))
    return html(title, tag("style", Markup(css)), body)


def header(card: Card) -> Markup:
    """The result, in a sentence that can't be misread."""
    m, f = card.metrics, card.facts
    what, _, figure = card.headline.partition(": ")
    value, _, sure = figure.partition(" (")
    words = [
        tag("span", f"{what}: ", class_="what"),
        tag("span", value, class_="value"),
        " ",
        tag("span", f"({sure}", class_="sure"),
    ]
    on = f.data if not f.trained_on or f.trained_on == f.data else f"{f.trained_on}, evaluated on {f.data}"
    return tag(
        "header",
        tag("p", tag("b", f.run), " · ", f.model, " on ", on, class_="eyebrow"),
        tag("h1", *words, class_="doubt" if any(one.grave for one in card.cautions) else None),
        charts.accuracy_line(m.accuracy, m.baseline.count / m.images, m.baseline.truth),
        tag("p", *_lede(card), class_="lede"),
    )


def _lede(card: Card) -> list[Child]:
    m, f = card.metrics, card.facts
    guess = percent(m.baseline.count / m.images)
    ties = sum(score.images == m.baseline.count for score in m.classes) > 1
    which = "as frequent here as any other class" if ties else "the most frequent class here"
    said: list[Child] = ["Always answering ", quoted(m.baseline.truth), f", {which}, would be right on {guess}. "]
    if card.role == "train" and f.same_data is not None:
        said.append("These are the images that the network was trained on.")
    elif card.role == f.chosen_on:
        said.append("These images also served to choose the weights.")
    elif f.same_data and not f.seen_in_training:
        said.append("No image of this split was used in training")
        said.append(", and none to choose the weights." if f.chosen_on else ".")
        if f.seen_in_training == 0:
            said.append(" None of them is a byte-for-byte copy of a training image.")
    elif f.same_data is None and f.seen_in_training is None:
        said.append("Whether any of these images was used in training is not known.")
    return said


def first(card: Card) -> Markup | None:
    """What the reader should know before the numbers."""
    if not card.cautions:
        return None
    grave = any(one.grave for one in card.cautions)
    rows = [tag("li", one.text, class_="grave" if one.grave else None) for one in card.cautions]
    title = tag("h2", "Read this first" if grave else "Worth knowing")
    return tag("aside", title, tag("ul", *rows), class_="first grave" if grave else "first")


def glance(card: Card) -> Markup:
    """The other figures, and every image as a mark."""
    m, c = card.metrics, card.calibration
    rows = [("Top 5", percent(m.top5.value), "the true class is among its five best")] if m.top5 else []
    rows += [
        ("Balanced accuracy", percent(m.balanced_accuracy), "mean recall over classes"),
        ("Macro F1", percent(m.macro_f1), f"precision {points(m.macro_precision)}, recall {points(m.macro_recall)}"),
        ("Log loss", brief(m.log_loss), "nats an image; 0 is best"),
        ("Calibration error", percent(c.expected_error), f"by chance alone {points(c.chance.mean)}"),
    ]
    cells = [
        tag("div", tag("dt", name), tag("dd", value), tag("dd", note, class_="note")) for name, value, note in rows
    ]
    each = -(-m.images // charts.MARKS)
    legend = "Each mark is one image" if each == 1 else f"Each mark stands for {each} images"
    wrong = "Orange: wrong. Mistakes towards the end are those it was itself unsure of."
    caption = tag("figcaption", f"{legend}, the surest first. {wrong if m.right < m.images else 'None is wrong.'}")
    return tag(
        "section",
        tag("h2", "At a glance", class_="quiet"),
        tag("dl", *cells, class_="figures"),
        tag("figure", charts.field_of_images(card.confidences, card.mistakes), caption),
    )


def beside(card: Card) -> Markup | None:
    """Other runs on the same images."""
    if not card.compared:
        return None
    head = ("Run", "Accuracy", "95 % interval", "Balanced", "Macro F1", "Log loss", "Calibration error")
    rows = [_run(card.facts.run, card.metrics, card.calibration.expected_error, "this")]
    rows += [_run(other.name, other.metrics, other.expected_error) for other in card.compared]
    return section("Beside other runs", *(_verdict(other) for other in card.compared), table(head, rows))


def _run(name: str, m: Metrics, error: float, class_: str = "") -> Markup:
    shares = (percent(m.balanced_accuracy), percent(m.macro_f1), brief(m.log_loss), percent(error))
    return row(name, percent(m.accuracy.value), interval(m.accuracy), *shares, class_=class_)


def _verdict(other: Compared) -> Markup:
    p, name = other.paired, f"‘{other.name}’"
    size = f"{points(abs(p.difference))} points"
    real = p.p < 0.05
    if p.difference == 0:
        start = f"As good as {name}"
    elif real:
        start = f"{'Better' if p.difference > 0 else 'Worse'} than {name} by {size}"
    else:
        start = f"{size} {'above' if p.difference > 0 else 'below'} {name}"
    luck = "more than luck would explain" if real else "no more than luck could explain"
    differs = [
        raw("; " if i else "", tag("code", s), f": {h} here, {t} there") for i, (s, h, t) in enumerate(other.differs)
    ]
    return tag(
        "p",
        tag("b", start),
        f" (95 % interval {_signed(p.low)} to {_signed(p.high)}): alone right on {plural(p.only_first, 'image')}, "
        f"alone wrong on {p.only_second:,}, of the same {p.images:,}; {luck} (exact McNemar test, {chance(p.p)}).",
        raw(" What differs: ", *differs, ".") if differs else None,
    )


def _signed(difference: float) -> str:
    return f"{'−' if difference < 0 else '+'}{points(abs(difference))}"


def footer(card: Card) -> Markup:
    """Where the numbers come from."""
    f = card.facts
    made = f" on {f.made}" if f.made else ""
    said = f"Made by Striate{made} from predictions.csv, which every number here derives from"
    return tag(
        "footer",
        tag("p", f"{said}; card.json holds them for programs."),
        facts((key, plain(value)) for key, value in f.environment.items()),
    )
