"""Where the network looks, which pixels matter, and whether these maps can be believed."""

import numpy as np

from striate.data.wording import percent
from striate.look.explain.explained import Explained
from striate.look.explain.faithful import Faithfulness
from striate.look.explain.picture import Rgb, over, pattern
from striate.look.explain.randomised import ALIKE, Randomisation, rank_correlation
from striate.look.markup import Markup, raw, tag
from striate.look.report import pictures
from striate.look.report.charts import Axis, Curve, chart
from striate.look.report.looked import Looked, Refused
from striate.look.report.parts import absent, figure, quoted, section, warning

MINUS = "−"
SAME = 0.9  # rank correlation from which on two maps are called the same
CLEAR = 0.02  # by which an area must differ from that of chance to be called better

SHORT = {
    "LayerCAM": "weighs each place by itself, not each map as a whole",
    "Grad-CAM++": "counts positive gradients only, so that several objects light up",
    "CAM": "needs no gradient: the last layer’s own weights",
    "Saliency": "how fast the logit changes with each pixel, whatever the direction",
    "Guided backpropagation": "the gradient with all that is negative stopped on its way",
}


def where(looked: Looked) -> Markup:
    """Grad-CAM with the place it points to, and other class activation, small."""
    found = looked.where
    title = "Where it looks"
    if isinstance(found, Refused):
        return section(title, absent(found, "Class activation"))
    map_, place = _array(found), found.places[0]
    height, width = map_.shape
    shown = pictures.picture(over(found.pixels[0], map_), f"Grad-CAM for {looked.about} over the image")
    marks: list[Markup] = []
    if place is not None:
        box = place.box
        frame = pictures.box(box.left, box.top, box.width, box.height, "frame dashed")
        marks = [frame, pictures.outline(place.outline)]
        share = percent(box.height * box.width / (height * width), 0)
        pointed = (
            f"The frame, rows {box.top} to {box.top + box.height - 1} and columns {box.left} to "
            f"{box.left + box.width - 1}, holds the largest part above half of the maximum: {share} of the image."
        )
    else:
        pointed = "Nothing is framed: no place speaks for the class."
    grid = f", {found.grid[0]} × {found.grid[1]} places" if found.grid else ""
    fine = _fineness(found, height, width)
    big = figure(
        pictures.marked(shown, (height, width), *marks),
        "Grad-CAM.",
        raw("The brighter, the more speaks for ", quoted(looked.about), f". {pointed}"),
        class_="large",
    )
    small = [figure(pictures.picture(over(one.pixels[0], _array(one)), f"{one.title} for {looked.about}"),
                    f"{one.title}:", f"{SHORT[one.title]}.") for one in looked.beside]  # fmt: skip
    rival = looked.where_rival
    if isinstance(rival, Explained) and looked.rival is not None:
        alike = rank_correlation(map_, _array(rival))
        same = "almost the same places: the map does not tell the two apart"
        if alike < SAME:
            same = "much the same places" if alike >= ALIKE else "other places"
        if rival.places[0] is None:
            same = "nothing speaks for it here"
        said = raw(quoted(looked.rival), f": {same} (rank correlation {_signed(alike)}).")
        small.insert(0, figure(pictures.picture(over(rival.pixels[0], _array(rival)), f"Grad-CAM for {looked.rival}"),
                               "Grad-CAM for", said))  # fmt: skip
    return section(
        title,
        tag("p", "Which places of the image speak for ", quoted(looked.about), f"? Read from the layer {found.layer}"
            f"{grid}. {fine}"),
        *(warning(_sentence(note)) for note in found.notes),
        tag("div", big, tag("div", *small, class_="column"), class_="beside"),
    )  # fmt: skip


def _fineness(found: Explained, height: int, width: int) -> str:
    if found.grid is None:
        return ""
    tall, wide = round(height / found.grid[0]), round(width / found.grid[1])
    return f"One place stands for about {tall} × {wide} pixels; the glow can’t be finer than that."


def pixels(looked: Looked) -> Markup:
    """Integrated gradients, by themselves and over the image; other attribution, small."""
    found = looked.pixels
    title = "Which pixels matter"
    if isinstance(found, Refused):
        return section(title, absent(found, "Attribution"))
    map_ = _array(found)
    values = _values(found)
    alone, _, reading = pattern(values, map_, found.signed)
    strong = float(np.quantile(np.abs(map_), 0.995)) or 1.0
    total = float(values.sum())
    error = 0.0 if found.error is None else found.error[0]
    sums = (
        f"All values add up to {_signed(total)} logits; the score changes by {_signed(total - error)} between a plain "
        "image of the mean colour and this one."
    )
    small = [_sharp(one, looked.about) for one in looked.sharp]
    return section(
        title,
        tag("p", "By how many logits does each pixel move the score of ", quoted(looked.about), "? Integrated "
            f"gradients share the score out among the pixels. {sums}"),
        *(warning(_sentence(note)) for note in found.notes),
        tag(
            "div",
            figure(pictures.picture(alone, f"Integrated gradients for {looked.about}"), "Integrated gradients:",
                   f"{reading} logits. Look whether the object’s own parts are coloured, or its surroundings."),
            figure(pictures.picture(over(found.pixels[0], np.clip(np.abs(map_) / strong, 0, 1)),
                                    f"Integrated gradients for {looked.about}, over the image"),
                   "Over the image:", "the size of each value, for or against."),
            *small,
            class_="four",
        ),
    )  # fmt: skip


def _sharp(found: Explained, about: str) -> Markup:
    map_ = _array(found)
    shown, _, _ = pattern(_values(found), map_, found.signed)
    test, notes = found.randomisation, "".join(f" {_sentence(note)}" for note in found.notes)
    doubt = raw(" ", tag("b", "Doubtful", class_="doubtful"), ", see below.") if test and test.warning else None
    return figure(
        pictures.picture(shown, f"{found.title} for {about}"), f"{found.title}:", f"{SHORT[found.title]}.{notes}", doubt
    )


def believed(looked: Looked) -> Markup | None:
    """The tests of the maps: lost weights, deletion, insertion."""
    maps = [one for one in (looked.where, looked.pixels) if isinstance(one, Explained)]
    tested = [one for one in maps if one.randomisation is not None or one.faithful is not None]
    if not tested:
        return None
    every = [one for one in (*maps, *looked.sharp) if one.randomisation is not None]
    return section(
        "Can these be believed?",
        tag("p", "A map can look right and say nothing about the network. So each was drawn again with the weights "
            "replaced by chance: one that stays as it was shows the image, not what has been learnt. And its brightest "
            "pixels were covered first, or brought in first: if they matter, the class goes, or comes, at once."),
        *(_tests(one) for one in tested),
        _table(every),
        class_="believed",
    )  # fmt: skip


def _tests(found: Explained) -> Markup:
    """One method: the verdict, and three curves."""
    lost, faithful = found.randomisation, found.faithful
    doubts = [text for text in (lost and lost.warning, faithful and faithful.warning()) if text]
    charts = [*([_lost(lost)] if lost else []), *(_faithful(faithful) if faithful else [])]
    return raw(
        tag("h4", found.title),
        *(warning(_sentence(text)) for text in doubts),
        tag("p", verdict(lost, faithful)) if not doubts else None,
        tag("div", *charts, class_="charts"),
    )


def verdict(lost: Randomisation | None, faithful: Faithfulness | None) -> str:
    """What the tests say, in a sentence or two."""
    said = []
    if lost is not None:
        said.append(
            f"Half of the layers random leave a rank correlation of {_signed(_half(lost))}, all of them "
            f"{_signed(lost.means[-1])}: the map depends on what has been learnt."
        )
    if faithful is not None:
        mean = {name: float(area.mean()) for name, area in faithful.areas().items()}
        goes = mean["deletion_by_chance"] - mean["deletion"] > CLEAR
        comes = mean["insertion"] - mean["insertion_by_chance"] > CLEAR
        words = {True: "clearly sooner", False: "hardly sooner"}
        said.append(
            f"If its brightest pixels are covered first, the class goes {words[goes]} than in a random order; if they "
            f"are brought in first, it comes {words[comes]}."
        )
        if not (goes or comes):
            said.append("So what the map marks is not shown to be what the network uses.")
    return " ".join(said)


def _lost(test: Randomisation) -> Markup:
    curve = Curve([(0.0, 1.0), *zip(test.shares, test.means, strict=True)], dots=True)
    low = min(-0.1, *test.means)
    said = ", ".join(f"{m:.2f} with {100 * s:.0f} %" for s, m in zip(test.shares, test.means, strict=True))
    drawn = chart(
        [curve],
        Axis("layers randomised, from the last on"),
        Axis("", low, 1.0, (0.0, 0.5, 1.0), percent=False),
        f"Rank correlation with the map itself while layers are randomised: {said}",
        doubt=(0.5, ALIKE),
    )
    return figure(drawn, "As weights are lost,", "how alike the map stays. Shaded: too alike.")


def _faithful(test: Faithfulness) -> list[Markup]:
    areas = {name: float(area.mean()) for name, area in test.areas().items()}
    made = []
    for name, says, better in (
        ("deletion", "Covered, brightest first:", "lower"),
        ("insertion", "Brought in, brightest first:", "higher"),
    ):
        curve, chance = (getattr(test, key).mean(0).tolist() for key in (name, f"{name}_by_chance"))
        mine, by_chance = areas[name], areas[f"{name}_by_chance"]
        steps = len(curve) - 1
        drawn = chart(
            [Curve([(i / steps, p) for i, p in enumerate(chance)], "chance"),
             Curve([(i / steps, p) for i, p in enumerate(curve)])],
            Axis("pixels covered" if name == "deletion" else "pixels brought in"),
            Axis("", percent=True),
            f"Probability of the class, {name}: area {mine:.2f}, by chance {by_chance:.2f}",
        )  # fmt: skip
        made.append(figure(drawn, says, f"area {mine:.2f}, by chance {by_chance:.2f} (dashed); {better} is better."))
    return made


def _table(every: list[Explained]) -> Markup | None:
    """All methods, by how much their maps change when weights are lost."""
    if len(every) < 2:
        return None
    rows = []
    for found in every:
        test = found.randomisation
        assert test is not None
        doubtful = test.warning is not None
        rows.append(
            tag(
                "tr",
                tag("td", found.title, class_="name"),
                tag("td", _signed(_half(test)), class_="n"),
                tag("td", _signed(test.means[-1]), class_="n"),
                tag("td", "shows the image more than the network" if doubtful else "depends on what was learnt",
                    class_="words doubtful" if doubtful else "words"),
            )
        )  # fmt: skip
    heads = [("method", None), ("half random", "n"), ("all random", "n"), ("so the map", None)]
    head = tag("tr", *(tag("th", words, class_=kind, scope="col") for words, kind in heads))
    return tag(
        "figure",
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll"),
        tag("figcaption", tag("b", "Rank correlation"), " of each map with itself after layers were randomised, from "
            f"the last on. 1: nothing changes; from {ALIKE:g} on with half of the layers or more random, a map is "
            "called doubtful."),
        class_="table",
    )  # fmt: skip


def _half(test: Randomisation) -> float:
    """The correlation at the first step with at least half of the layers random."""
    return next(mean for share, mean in zip(test.shares, test.means, strict=True) if share >= 0.5)


def _array(found: Explained) -> Rgb:
    values: Rgb = found.maps[0].double().cpu().numpy()
    return values


def _values(found: Explained) -> Rgb:
    """Of an attribution (c, H, W)."""
    values: Rgb = (found.maps if found.values is None else found.values[0]).double().cpu().numpy()
    return values


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS) if round(value, 2) else "0.00"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
