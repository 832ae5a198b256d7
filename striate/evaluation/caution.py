"""What the reader of a card should know before the numbers."""

from dataclasses import dataclass

from striate.data.wording import plural
from striate.evaluation.metrics import Metrics
from striate.evaluation.words import listed, percent, points

FEW = 10  # images of a class below which its row says little
WIDE = 0.10  # an interval wider than this is worth a word
FLATTERED = 0.03  # accuracy above balanced accuracy by more than this is, too


@dataclass(frozen=True)
class Caution:
    """One thing to know. Grave: the headline may not mean what it seems to."""

    kind: str
    text: str
    grave: bool = False


def about_split(
    role: str, chosen_on: str | None, chosen_how: str, seen: int, images: int, same: bool | None
) -> list[Caution]:
    """What part the evaluated images had in the training; `seen` of them are also among the training images."""
    found = []
    if role == "train" and same is not None:  # of other data, it is only a name
        text = "The network was trained on these very images: this is what it has memorised, not what it can do."
        return [Caution("trained", text, grave=True)]
    if role == chosen_on:
        text = (
            f"The weights were chosen on these images ({chosen_how or role}), so they flatter the network: "
            "on images that had no part in it, expect less."
        )
        found.append(Caution("chosen", text, grave=True))
    if seen:
        are = "is" if seen == 1 else "are"
        text = (
            f"{seen:,} of these {plural(images, 'image')} {are} also among the training images, byte for byte: "
            "the result is better than it would be on new ones."
        )
        found.append(Caution("leak", text, grave=True))
    if same is False:
        text = (
            "The images are not those of the training run (another fingerprint): some of them may have been trained on."
        )
        found.append(Caution("changed", text))
    return found


def about_numbers(m: Metrics) -> list[Caution]:
    """What the counts themselves do not tell."""
    found = []
    name, guess = m.baseline.truth, m.baseline.count / m.images
    if m.accuracy.low <= guess:
        text = (
            f"Not shown to be better than always answering “{name}”: {percent(guess)} lies in the interval or above it."
        )
        found.append(Caution("baseline", text, grave=True))
    wide = m.accuracy.high - m.accuracy.low
    if wide > WIDE:
        say = "says" if m.images == 1 else "say"
        found.append(
            Caution("few", f"{plural(m.images, 'image')} {say} little: the interval is {points(wide)} points wide.")
        )
    flattered = m.accuracy.value - m.balanced_accuracy
    if flattered > FLATTERED:
        average = f"averaged over classes it is {percent(m.balanced_accuracy)}, {points(flattered)} points less"
        text = f"Frequent classes carry the result: {average}."
        found.append(Caution("imbalance", text))
    absent = [score.name for score in m.classes if not score.images]
    if absent:
        text = f"No image of {_names(absent)}: nothing is known about {'it' if len(absent) == 1 else 'them'}."
        found.append(Caution("absent", text))
    rare = [score.name for score in m.classes if 0 < score.images < FEW]
    if rare:
        what = f"{plural(len(rare), 'class')} with fewer than {FEW} images ({_names(rare)})"
        text = f"{what}: read their intervals, not their values."
        found.append(Caution("rare", text))
    return found


def about_files(lost: int, here: int) -> list[Caution]:
    """`lost` files could not be read, `here` of them in the evaluated split."""
    if not lost:
        return []
    where = f", {here} of them in this split" if 0 < here < lost else ""
    text = f"{plural(lost, 'file')} could not be read and {'is' if lost == 1 else 'are'} not counted{where}."
    return [Caution("quarantined", text)]


def _names(names: list[str]) -> str:
    return listed([f"“{name}”" for name in names])
