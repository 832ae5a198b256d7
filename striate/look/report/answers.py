"""What the network says of an image, and what it sees of it."""

from striate.data.preprocess import Preprocess
from striate.data.wording import percent
from striate.look.markup import Markup, raw, tag
from striate.look.report import pictures
from striate.look.report.looked import Looked
from striate.look.report.parts import quoted, section


def says(looked: Looked) -> Markup:
    """The best classes with their probabilities."""
    best, chance = looked.prediction.top[0]
    words = [raw("The network calls it ", quoted(best), f" and gives that {percent(chance)}.")]
    if len(looked.prediction.top) > 1:
        second, other = looked.prediction.top[1]
        words.append(raw(" Next comes ", quoted(second), f" with {percent(other)}."))
    if chance < 0.5:
        words.append(raw(" It is not sure: the best class gets less than half."))
    bars = [
        tag(
            "li",
            tag("span", tag("bdi", label), class_="label"),
            tag("span", class_="bar", style=f"--share: {100 * p:.2f}%", aria_hidden="true"),
            tag("span", percent(p), class_="value"),
            class_="this" if label == looked.about else None,
        )
        for label, p in looked.prediction.top
    ]
    rest = len(looked.prediction.probabilities) - len(looked.prediction.top)
    left = 1 - sum(p for _, p in looked.prediction.top)
    others = f" The other {rest:,} classes share {percent(max(0.0, left))}." if rest > 0 else ""
    asked = (
        None
        if looked.about == best
        else tag(
            "p", "From here on the page is about ", quoted(looked.about), f" ({percent(looked.chance)}), as was asked.",
            class_="asked",
        )
    )  # fmt: skip
    return section(
        "What it says",
        tag("p", *words, class_="lede"),
        tag("ol", *bars, class_="answers"),
        tag(
            "p",
            "These are the network’s own probabilities, the softmax of its logits: how sure it is, not how often it is "
            f"right.{others}",
            class_="notes",
        ),
        asked,
    )


def sees(looked: Looked, preprocess: Preprocess) -> Markup:
    """The image as it comes in, and as it goes in."""
    height, width = looked.source.shape[:2]
    h, w = looked.seen.shape[:2]
    left, top, right, bottom = preprocess.kept(height, width)
    source = pictures.picture(looked.source, f"The image as it was given: {looked.name}", largest=640)
    wide = min(2.2, max(0.5, (width / height) / (w / h)))  # both are as high as each other
    cuts = (right - left) * (bottom - top) < 0.995 * height * width
    outside = pictures.shade((height, width), (left, top, right, bottom)) if cuts else None
    lost = 1 - (right - left) * (bottom - top) / (height * width)
    how = f"What is pale, {percent(lost, 0)} of it, is cut off." if cuts else "Nothing of it is cut off."
    return section(
        "What it sees",
        tag(
            "div",
            tag("figure", pictures.marked(source, (height, width), outside),
                tag("figcaption", tag("b", "What came in: "), f"{width:,} × {height:,} pixels. {how}")),
            tag("figure", pictures.picture(looked.seen, "The image as the network sees it"),
                tag("figcaption", tag("b", "What goes in: "), f"{w:,} × {h:,} pixels, "
                    f"{'gray' if looked.seen.shape[2] == 1 else 'in colour'}. If you can’t tell here what it is, nor "
                    "can the network.")),
            class_="pair",
            style=f"--columns: minmax(0, {wide:.3f}fr) minmax(0, 1fr)",
        ),
        tag("p", f"Prepared as for training: {preprocess.describe()}", class_="notes"),
    )  # fmt: skip
