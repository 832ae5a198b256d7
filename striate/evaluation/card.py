"""The evaluation card: what one network did on one split, and what a reader must know to believe it.

`make_card` derives everything from predictions and facts; `Card.to_json` is `card.json`, `striate.evaluation.page` the
page. Nothing here reads a file or a clock, so the same inputs give the same card.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from striate.evaluation.calibration import (
    Calibration,
    Temperature,
    at_temperature,
    calibration,
    expected_error,
    fit_temperature,
)
from striate.evaluation.caution import Caution, about_files, about_numbers, about_split
from striate.evaluation.compare import Comparison, paired
from striate.evaluation.metrics import ClassScore, Metrics, Share, measure
from striate.evaluation.predictions import Predictions
from striate.evaluation.words import sure

FORMAT = "striate card 1"
DENSE = 200  # classes up to which card.json holds the whole confusion matrix; predictions.csv has it in any case
WORST = 25  # confusions that are listed


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be used, and why."""

    key: str
    role: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about the run, the model and the data. Nothing in it may name a place on the user's machine."""

    run: str  # name of the run's folder
    model: str
    data: str  # name of the data set, as the user calls it
    counts: Mapping[str, Mapping[str, int]]  # role -> class -> images
    preprocess: str  # in a sentence
    trained_on: str = ""  # name of the data set that the network was trained on
    chosen_on: str | None = None  # the role on which the weights, the epoch or a setting were chosen
    chosen_how: str = ""  # "epoch 12 of 20: highest val accuracy, then lowest val loss"
    same_data: bool | None = None  # whether the content is that of the training run; None: not compared
    seen_in_training: int | None = None  # images of the split whose content is also among the training images
    fingerprint: str = ""  # SHA-256 over classes, keys, labels and contents
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()  # what was decided while opening the data
    recipe: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(
        default_factory=dict
    )  # parameters, macs, weight_bytes, training_s, images_per_s ...
    environment: Mapping[str, Any] = field(default_factory=dict)  # software and machine, for a reader
    made: str = ""  # date, ISO 8601


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image worth looking at. The pictures are encoded PNG or JPEG, None where there are none."""

    key: str
    truth: str
    predicted: str
    probability: float  # of what it was called
    truth_probability: float
    runner_up: str  # the second most probable class
    runner_up_probability: float
    layer: str | None = None  # that Grad-CAM read
    nothing_positive: bool | None = None
    image: bytes | None = None
    evidence: bytes | None = None


@dataclass(frozen=True)
class Rival:
    """Another run on the same split."""

    name: str
    predictions: Predictions
    differs: tuple[tuple[str, str, str], ...] = ()  # (setting, here, there)


@dataclass(frozen=True)
class Compared:
    """What another run did, and whether the difference is more than luck."""

    name: str
    metrics: Metrics
    expected_error: float
    differs: tuple[tuple[str, str, str], ...]
    paired: Comparison


@dataclass(frozen=True, eq=False)
class Card:
    """One network on one split."""

    role: str
    facts: Facts
    metrics: Metrics
    confidences: tuple[float, ...]  # of all images, surest first
    mistakes: tuple[bool, ...]  # which of them are wrong, in the same order
    calibration: Calibration
    temperature: Temperature | None
    tempered_error: float | None  # expected calibration error of this split at that temperature
    cautions: tuple[Caution, ...]
    wrong: tuple[Example, ...]  # the worst mistakes
    unsure: tuple[Example, ...]  # the closest right answers
    curves: tuple[Mapping[str, float | None], ...]
    compared: tuple[Compared, ...]

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        m = self.metrics
        of = f"all {m.images:,}" if m.right == m.images > 1 else f"{m.right:,} of {m.images:,}"
        return f"Right on {of} {self.role} {'image' if m.images == 1 else 'images'}: {sure(m.accuracy)}"

    def to_json(self) -> dict[str, Any]:
        """card.json: stable keys, six significant digits, no NaN, no pictures."""
        m, f = self.metrics, self.facts
        whole = {
            "format": FORMAT,
            "headline": self.headline,
            "cautions": [{"kind": one.kind, "grave": one.grave, "text": one.text} for one in self.cautions],
            "run": f.run,
            "split": {
                "role": self.role,
                "images": m.images,
                "weights_chosen_on": f.chosen_on,
                "weights_chosen_how": f.chosen_how,
            },
            "accuracy": {**_share(m.accuracy), "right": m.right, "images": m.images},
            "baseline": {"class": m.baseline.truth, "right": m.baseline.count, "accuracy": m.baseline.count / m.images},
            "top5": m.top5 and _share(m.top5),
            "balanced_accuracy": m.balanced_accuracy,
            "macro": {"precision": m.macro_precision, "recall": m.macro_recall, "f1": m.macro_f1},
            "log_loss": m.log_loss,
            "classes": [_class(score) for score in m.classes],
            "confusion": _confusion(m),
            "calibration": _calibration(self.calibration, self.temperature, self.tempered_error),
            "wrong": [_example(one) for one in self.wrong],
            "unsure": [_example(one) for one in self.unsure],
            "compared": [_compared(other) for other in self.compared],
            "model": {"name": f.model, **f.cost},
            "data": _data(f),
            "preprocess": f.preprocess,
            "recipe": dict(f.recipe),
            "curves": [dict(row) for row in self.curves],
            "environment": dict(f.environment),
            "made": f.made,
        }
        return {key: tidy(value) for key, value in whole.items()}


def make_card(
    predictions: Predictions,
    *,
    facts: Facts,
    val_predictions: Predictions | None = None,
    wrong: Sequence[Example] = (),
    unsure: Sequence[Example] = (),
    curves: Sequence[Mapping[str, float | None]] = (),
    compare_with: Sequence[Rival] = (),
) -> Card:
    """Everything that the predictions of a split give.

    `val_predictions` are those of the val split, on which the temperature is fitted (not where the val split itself is
    evaluated: a number fitted and tested on the same images flatters itself).

    Raises: DatasetError where there are no predictions, or those of a rival are of other images.
    """
    metrics, reliability = measure(predictions), calibration(predictions)
    temperature = tempered = None
    if val_predictions is not None and len(val_predictions) and val_predictions.role != predictions.role:
        temperature = fit_temperature(val_predictions)
        milder = at_temperature(predictions, temperature.value)
        tempered = expected_error(milder.confidence, milder.right)
    order = (-predictions.confidence).argsort(kind="stable")
    return Card(
        role=predictions.role,
        facts=facts,
        metrics=metrics,
        confidences=tuple(predictions.confidence[order].tolist()),
        mistakes=tuple((~predictions.right[order]).tolist()),
        calibration=reliability,
        temperature=temperature,
        tempered_error=tempered,
        cautions=cautions(predictions.role, metrics, facts),
        wrong=tuple(wrong),
        unsure=tuple(unsure),
        curves=tuple(curves),
        compared=tuple(_rival(predictions, rival) for rival in compare_with),
    )


def cautions(role: str, metrics: Metrics, facts: Facts) -> tuple[Caution, ...]:
    """What the reader should know first, the gravest before the others."""
    seen = 0 if role == "train" else facts.seen_in_training or 0
    found = about_split(role, facts.chosen_on, facts.chosen_how, seen, metrics.images, facts.same_data)
    found += about_numbers(metrics)
    found += about_files(len(facts.quarantined), sum(one.role == role for one in facts.quarantined))
    return tuple(sorted(found, key=lambda one: not one.grave))


def tidy(value: Any) -> Any:
    """The same value with floats at six significant digits and None for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # a file name that is not UTF-8
    if isinstance(value, Mapping):
        return {tidy(str(key)): tidy(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(one) for one in value]
    return value


def _rival(predictions: Predictions, rival: Rival) -> Compared:
    theirs = rival.predictions
    error = expected_error(theirs.confidence, theirs.right)
    return Compared(rival.name, measure(theirs), error, rival.differs, paired(predictions, theirs))


def _share(share: Share) -> dict[str, float]:
    return {"value": share.value, "low": share.low, "high": share.high}


def _class(score: ClassScore) -> dict[str, Any]:
    return {
        "name": score.name,
        "images": score.images,
        "called": score.called,
        "right": score.right,
        "recall": score.recall and _share(score.recall),
        "precision": score.precision and _share(score.precision),
        "f1": score.f1 and _share(score.f1),
    }


def _confusion(m: Metrics) -> dict[str, Any]:
    worst = [{"truth": w.truth, "predicted": w.predicted, "count": w.count, "of": w.images} for w in m.confusions()]
    counts = m.confusion.tolist() if len(m.classes) <= DENSE else None
    return {"rows": "truth", "columns": "predicted", "counts": counts, "worst": worst[:WORST]}


def _calibration(c: Calibration, t: Temperature | None, after: float | None) -> dict[str, Any]:
    bins = [
        {
            "low": b.low,
            "high": b.high,
            "images": b.images,
            "confidence": b.confidence,
            "right": b.right and _share(b.right),
        }
        for b in c.bins
    ]
    return {
        "expected_error": c.expected_error,
        "maximum_error": c.maximum_error,
        "by_chance": {"mean": c.chance.mean, "high": c.chance.high},
        "brier": c.brier,
        "mean_confidence": c.confidence,
        "bins": bins,
        "temperature": t and {**asdict(t), "fitted_on": "val", "expected_error_after": after},
    }


def _example(one: Example) -> dict[str, Any]:
    return {key: value for key, value in asdict(one).items() if key not in ("image", "evidence")}


def _data(f: Facts) -> dict[str, Any]:
    return {
        "name": f.data,
        "trained_on": f.trained_on,
        "counts": {role: dict(counts) for role, counts in f.counts.items()},
        "quarantined": [asdict(one) for one in f.quarantined],
        "sha256": f.fingerprint,
        "same_as_in_training": f.same_data,
        "seen_in_training": f.seen_in_training,
        "notes": list(f.notes),
    }


def _compared(other: Compared) -> dict[str, Any]:
    p, m = other.paired, other.metrics
    return {
        "run": other.name,
        "accuracy": _share(m.accuracy),
        "balanced_accuracy": m.balanced_accuracy,
        "macro_f1": m.macro_f1,
        "log_loss": m.log_loss,
        "expected_error": other.expected_error,
        "differs": [{"setting": name, "here": here, "there": there} for name, here, there in other.differs],
        "right": {"both": p.both, "only_this": p.only_first, "only_other": p.only_second, "neither": p.neither},
        "difference": {"value": p.difference, "low": p.low, "high": p.high, "mcnemar_p": p.p},
    }
