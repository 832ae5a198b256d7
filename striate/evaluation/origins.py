"""The sections of the page that say where the network and the data come from, and what the words mean."""

from collections.abc import Iterable, Mapping
from math import log
from typing import Any

from striate.data.wording import plural
from striate.evaluation import plots
from striate.evaluation.card import Card, Facts
from striate.evaluation.parts import facts, folded, plain, row, section, soft, table
from striate.evaluation.words import brief, duration, large, listed, size
from striate.look.markup import Child, Markup, raw, tag

OPEN = 16  # classes whose images are counted in sight
LOST = 200  # files left out that are listed
_NAMES = {
    "sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW",
    "cross_entropy": "cross-entropy", "bce": "binary cross-entropy", "mse": "mean squared error",
}  # fmt: skip
_EXTRAS = {"smoothing": "label smoothing", "ema": "moving average of weights", "clip": "gradients clipped to"}
_PURPOSE = {"train": "to train on", "val": "to choose the weights on", "test": "to test on"}


def making(card: Card) -> Markup:
    """Recipe, curves, preprocessing, cost."""
    f = card.facts
    parts: list[Child] = []
    if said := recipe_sentence(f.recipe):
        parts.append(tag("p", said))
    if f.chosen_how:
        parts.append(soft(f"Weights kept: {f.chosen_how}."))
    drawn = [plots.curves(card.curves, "loss", "Loss"), plots.curves(card.curves, "accuracy", "Accuracy")]
    if any(drawn):
        caption = "Train numbers are running means over each epoch, augmentation and dropout included."
        parts.append(tag("figure", tag("div", *drawn, class_="panels"), tag("figcaption", caption)))
    parts += [tag("h3", "What the network sees"), tag("p", f.preprocess[:1].upper() + f.preprocess[1:])]
    if f.cost:
        parts += [tag("h3", "Model and cost"), facts(_cost(f.model, f.cost))]
    if f.recipe:
        parts.append(folded("The whole recipe", facts((key, plain(value)) for key, value in f.recipe.items())))
    return section("How it was made", *parts)


def recipe_sentence(recipe: Mapping[str, Any]) -> str:
    """How a network was trained, from the settings of its recipe; empty where they are not known."""
    r = dict(recipe)
    if not {"epochs", "batch", "optimizer", "lr"} <= set(r):
        return ""
    optimizer, loss = (_NAMES.get(str(r.get(key)), r.get(key)) for key in ("optimizer", "loss"))
    said = [f"{plural(r['epochs'], 'epoch')} in batches of {r['batch']} with {optimizer}, learning rate {r['lr']:g}"]
    if r.get("schedule"):
        said[0] += f" ({r['schedule']}{', warm-up' if r.get('warmup') else ''})"
    if loss:
        said.append(f"{loss} loss")
    said.append(f"augmentation: {r.get('augment') or 'none'}")
    said += [f"{name} {plain(r[key])}" for key, name in _EXTRAS.items() if r.get(key)]
    return "; ".join([*said, f"seed {r.get('seed', 0)}"]) + "."


def _cost(model: str, cost: Mapping[str, Any]) -> Iterable[tuple[str, Child]]:
    yield "Model", model
    if cost.get("input"):
        yield "Input", " × ".join(str(n) for n in cost["input"])
    if cost.get("parameters") is not None:
        stored = f" ({size(cost['weight_bytes'])})" if cost.get("weight_bytes") else ""
        yield "Parameters", f"{cost['parameters']:,}{stored}"
    if cost.get("macs") is not None:
        yield "Multiply-adds an image", large(cost["macs"])
    if cost.get("training_s") is not None:
        speed = f", {cost['training_images_per_s']:,.0f} images a second" if cost.get("training_images_per_s") else ""
        yield "Training", f"{duration(cost['training_s'])}{speed}"


def origin(card: Card) -> Markup:
    """Images of each class and split, what was left out, the fingerprint."""
    f = card.facts
    names = [score.name for score in card.metrics.classes]
    totals = {role: sum(counts.values()) for role, counts in f.counts.items()}
    rows = [row(name, *(f"{counts.get(name, 0):,}" for counts in f.counts.values())) for name in names]
    rows.append(row("all", *(f"{total:,}" for total in totals.values()), class_="total"))
    said = listed([f"{total:,} {_PURPOSE.get(role, role)}" for role, total in totals.items()])
    counted = table(["Class", *f.counts], rows, "counts")
    return section(
        "The data",
        tag("p", tag("b", f.data), f": {plural(len(names), 'class')}{f'; images: {said}' if said else ''}."),
        counted if len(names) <= OPEN else folded(f"Images of each of the {len(names):,} classes", counted),
        _left_out(f),
        *(soft(note) for note in f.notes),
        _fingerprint(f),
    )


def _left_out(f: Facts) -> Markup | None:
    if not f.quarantined:
        return None
    rows = [row(one.key, one.role, one.reason) for one in f.quarantined[:LOST]]
    more = soft(f"and {len(f.quarantined) - LOST:,} more, in card.json") if len(f.quarantined) > LOST else None
    title = f"{plural(len(f.quarantined), 'file')} left out because they could not be read"
    return folded(title, raw(table(["File", "Split", "Why"], rows, "lost"), more))


def _fingerprint(f: Facts) -> Markup | None:
    if not f.fingerprint:
        return None
    same = {
        True: "the same as in training",
        False: "not that of the training run",
        None: "of other data than the training run’s",
    }
    return soft(f"Fingerprint of classes, labels and contents, {same[f.same_data]}: ", tag("code", f.fingerprint))


def meaning(card: Card) -> Markup:
    """The definitions."""
    evenly = brief(log(len(card.metrics.classes)))
    bins = len(card.calibration.bins)
    terms = {
        "95 % interval": (
            "Wilson’s interval. Splits of this size, drawn anew from the same source, give intervals of which 95 in "
            "100 hold the true value. It knows nothing of images from another source."
        ),
        "Recall, precision, F1": (
            "Of the images of a class, the share called so; of those called so, the share that is; and 2 · right / "
            "(images of it + images called so). Macro: the plain mean over classes; a share of nothing counts as 0."
        ),
        "Balanced accuracy": (
            "Mean recall over the classes that have images: what accuracy would be if all were equally frequent."
        ),
        "Log loss": f"Mean of −ln p(true class). Guessing evenly gives ln of the number of classes, here {evenly}.",
        "Expected calibration error": (
            f"Images are put into {bins} bins of equal width by the probability of the predicted class; the error is "
            "the mean over images of the distance between a bin’s accuracy and its mean confidence. By chance: what it "
            "would be if every stated probability were exactly true."
        ),
        "Most wrong": "The mistakes whose true class got the lowest probability.",
    }
    rows = [raw(tag("dt", name), tag("dd", said)) for name, said in terms.items()]
    return tag("section", folded("What the words mean", tag("dl", *rows, class_="terms")), class_="meaning")
