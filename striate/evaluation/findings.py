"""The sections of the page that say what was found: mistakes, classes, probabilities."""

from base64 import b64encode
from collections.abc import Sequence

from striate.data.wording import plural
from striate.evaluation import charts, confusion, plots
from striate.evaluation.calibration import Bin
from striate.evaluation.card import Card, Example
from striate.evaluation.metrics import ClassScore, Confusion, Share
from striate.evaluation.parts import folded, quoted, row, section, share, soft, table
from striate.evaluation.words import brief, percent, points
from striate.look.markup import Child, Markup, raw, tag

PAIRS = 8  # confusions in words
OPEN = 16  # classes that are shown at once; the others unfold


def mistakes(card: Card) -> Markup:
    """Confusions in words, and as a matrix."""
    m, k = card.metrics, len(card.metrics.classes)
    found = m.confusions()
    if found:
        rest = sum(one.count for one in found[PAIRS:])
        pairs = tag("ul", *(tag("li", *_pair(one)) for one in found[:PAIRS]), class_="pairs")
        more = soft(f"and {rest:,} more of {plural(m.images - m.right, 'mistake')}.") if rest else None
        words = raw(pairs, more)
    else:
        words = tag("p", "It made no mistake on these images. The interval above says what that proves, and what not.")
    caption = (
        "Rows: what an image is. Columns: what it was called. Teal is right, orange is wrong; "
        "the stronger, the larger its share of the row."
    )
    if k > confusion.MOST:
        caption += f" Only the classes that are confused most, of {k:,}."
    drawn = tag(
        "div", confusion.confusion_map(m), class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix"
    )
    figure = tag("figure", drawn, tag("figcaption", caption), _matrix(card) if k <= confusion.FOCUS else None)
    form = "beside" if k <= 11 else "wide" if k > 40 else None
    return section("Where it goes wrong", tag("div", tag("div", words), figure, class_=form))


def _pair(one: Confusion) -> list[Child]:
    was = "was" if one.images == 1 else "were"
    return [
        tag("b", f"{one.count:,}"),
        f" of {one.images:,} ",
        quoted(one.truth),
        f" {was} called ",
        quoted(one.predicted),
    ]


def _matrix(card: Card) -> Markup:
    names = [score.name for score in card.metrics.classes]
    rows = [row(name, *counts) for name, counts in zip(names, card.metrics.confusion.tolist(), strict=True)]
    return folded("The same as a table", table(["is ↓, called →", *names], rows))


def most_wrong(card: Card) -> Markup | None:
    """The mistakes that cost the most."""
    if not card.wrong:
        return None
    count = card.metrics.images - card.metrics.right
    which = f"{len(card.wrong)} of {count:,} mistakes" if count > len(card.wrong) else plural(count, "mistake")
    said = f"{which}, the least probable truth first. Look for wrong labels, too: they gather here. "
    return section("The images it got most wrong", soft(said, _how(card.wrong)), _gallery(card.wrong))


def close_calls(card: Card) -> Markup | None:
    """Right, but not by much."""
    if not card.unsure:
        return None
    said = "Right answers that it was least sure of. "
    return section("Right, but only just", soft(said, None if card.wrong else _how(card.unsure)), _gallery(card.unsure))


def _how(examples: Sequence[Example]) -> Markup:
    layer = next((one.layer for one in examples if one.layer), None)
    if layer is None:
        return raw("As the network saw them.")
    said = raw(
        "Left: what the network saw. Right: where it found evidence for its answer, yellow most (Grad-CAM at layer ",
        tag("code", layer),
        ").",
    )
    if not any(one.nothing_positive for one in examples):
        return said
    return raw(
        said,
        " Where nothing glows, no channel of that layer spoke for the answer when averaged over the image; "
        "networks that flatten positions before they decide often look like this.",
    )


def _gallery(examples: Sequence[Example]) -> Markup:
    return tag("div", *(_example(one) for one in examples), class_="gallery")


def _example(one: Example) -> Markup:
    right = one.truth == one.predicted
    pictures: list[Child] = []
    if one.image:
        seen = f"{one.key}: is {one.truth}, was called {'that' if right else one.predicted}"
        pictures.append(tag("img", src=_data_uri(one.image), alt=seen, loading="lazy"))
    if one.evidence:
        where = f"Where the evidence for {one.predicted} lies"
        pictures.append(tag("img", src=_data_uri(one.evidence), alt=where, loading="lazy"))
    if right:
        words = tag("p", "is and was called ", quoted(one.truth))
        odds = soft(
            f"{percent(one.probability)} sure; next ",
            quoted(one.runner_up),
            f" with {percent(one.runner_up_probability)}",
        )
    else:
        words = tag("p", "is ", quoted(one.truth), ", was called ", quoted(one.predicted))
        odds = soft(f"{percent(one.probability)} sure; the truth got {percent(one.truth_probability)}")
    nothing = soft("nothing positive found") if one.nothing_positive else None
    caption = tag("figcaption", words, odds, nothing, tag("p", tag("bdi", one.key), class_="key"))
    return tag("figure", tag("div", *pictures, class_="pair") if pictures else None, caption)


def by_class(card: Card) -> Markup:
    """Recall, precision and F1 of each class, worst first."""
    scores = sorted(card.metrics.classes, key=lambda s: (s.images == 0, _or_one(s.recall), _or_one(s.f1)))
    low = charts.axis_from(scores)
    ends = (tag("span", f"{100 * low:.0f} %"), tag("span", "100 %"))
    head: list[Child] = [
        "Class",
        "Images",
        raw("Recall ", tag("small", "of its images, found")),
        tag("span", *ends, class_="axis", aria_hidden="true"),
        raw("Precision ", tag("small", "of those called so, true")),
        "F1",
    ]
    rows = [_class(score, low) for score in scores]
    at_once = len(rows) if len(rows) <= OPEN + 4 else OPEN
    rest = rows[at_once:]
    return section(
        "Class by class",
        soft("Worst first. The band is the 95 % interval: where bands overlap widely, the order may be luck."),
        table(head, rows[:at_once], "classes"),
        folded(f"The other {len(rest):,} classes", table(head, rest, "classes")) if rest else None,
    )


def _class(score: ClassScore, low: float) -> Markup:
    drawn = tag("td", charts.whisker(score.recall, low), class_="drawn")
    return row(score.name, f"{score.images:,}", share(score.recall), drawn, share(score.precision), share(score.f1))


def calibrated(card: Card) -> Markup:
    """Whether its probabilities can be believed."""
    c = card.calibration
    usual = c.expected_error <= c.chance.high
    if usual:
        verdict = "no more than chance, so its probabilities can be taken at their word"
    elif c.confidence > c.accuracy:
        verdict = "more than chance, so it is surer than it should be"
    else:
        verdict = "more than chance, so it is more often right than it says"
    by_chance = f"{points(c.chance.mean)}, and up to {points(c.chance.high)}, on {plural(card.metrics.images, 'image')}"
    words = tag(
        "p", "On average it said it was ", tag("b", percent(c.confidence)), " sure, and it was right on ",
        tag("b", percent(c.accuracy)), ". Bin by bin the two differ by ", tag("b", points(c.expected_error), " points"),
        f" (expected calibration error). A perfectly calibrated network would show about {by_chance}: {verdict}.",
    )  # fmt: skip
    widest = max(c.bins, key=_gap)
    details = soft(
        f"Largest gap of a bin: {points(c.maximum_error)} points (of {plural(widest.images, 'image')}). "
        f"Brier score {brief(c.brier)} (0 best, 2 worst)."
    )
    caption = tag(
        "figcaption",
        "On the diagonal it is as often right as it says. Lines are 95 % intervals, bins of fewer than "
        f"{plots.FEW} images are pale; below, the number of images in each bin.",
    )
    left = tag("div", words, _temperature(card), details)
    figure = tag("figure", plots.reliability(c.bins), caption)
    return section("How far its probabilities can be trusted", tag("div", left, figure, class_="beside"))


def _temperature(card: Card) -> Markup | None:
    t, after = card.temperature, card.tempered_error
    if t is None or after is None:
        return None
    if t.at_limit:
        return tag("p", "The val split has too few mistakes to fit a temperature.")
    how = "milder" if t.value > 1 else "bolder"
    would = "leave it at" if points(after) == points(card.calibration.expected_error) else "bring it to"
    return tag(
        "p",
        f"Dividing the logits by {brief(t.value)} makes its probabilities {how}; fitted on the val split, "
        f"that would {would} {points(after)} points here, without changing any answer.",
    )


def _gap(b: Bin) -> float:
    return abs(b.right.value - b.confidence) if b.right and b.confidence is not None else -1.0


def _or_one(value: Share | None) -> float:
    return 1.0 if value is None else value.value


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
