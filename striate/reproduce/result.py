"""What was measured, as data: recipes/results/NAME.json.

The values of all runs are what counts; mean, interval and differences are written beside them for readers, and derived
again whenever the file is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate import durable
from striate.errors import ArtefactError
from striate.reproduce.experiment import Experiment
from striate.reproduce.intervals import Interval, of_difference, of_mean

FORMAT = "striate result 1"
CURVE = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy")


@dataclass(frozen=True)
class Measured:
    """One run: the metric, what else was counted, and the curve."""

    value: float
    diverged: bool = False  # its numbers ceased to be finite; it counts as always saying the most frequent class
    curve: tuple[dict[str, float], ...] = ()  # a row an epoch: CURVE
    details: dict[str, Any] = field(default_factory=dict)  # e.g. top5, gradients over depth


@dataclass(frozen=True)
class Outcome:
    """All runs of one arm, in the order of their seeds 0, 1, 2, ..."""

    name: str
    runs: tuple[Measured, ...]

    @property
    def values(self) -> list[float]:
        return [run.value for run in self.runs]

    @property
    def mean(self) -> Interval:
        return of_mean(self.values)


@dataclass(frozen=True)
class Result:
    """What a recipe gave."""

    name: str
    quick: bool
    digest: str  # of the experiment that was carried out
    made: str  # date, ISO 8601
    machine: str
    images: int  # of the test
    outcomes: tuple[Outcome, ...]
    seconds: float | None = None  # None: the machine did other work, so the time would mean nothing
    together: int = 1  # runs side by side, each with the machine's number of threads; of interest with the seconds

    def outcome(self, name: str) -> Outcome:
        return next(one for one in self.outcomes if one.name == name)

    def difference(self, name: str, baseline: str) -> Interval:
        """The mean of what an arm has more than another one, seed by seed."""
        return of_difference(self.outcome(name).values, self.outcome(baseline).values)

    def to_json(self, against: Mapping[str, str]) -> dict[str, Any]:
        """Stable keys; numbers rounded to what was measured. `against` says which arm each is compared with."""
        arms = {}
        for one in self.outcomes:
            summary: dict[str, Any] = _interval(one.mean)
            if one.name in against:
                summary["difference"] = _interval(self.difference(one.name, against[one.name]))
            arms[one.name] = {
                "summary": summary,
                "runs": [
                    {
                        "value": _short(run.value),
                        "diverged": run.diverged,
                        "details": run.details,
                        "curve": [[row[key] for key in CURVE] for row in run.curve],
                    }
                    for run in one.runs
                ],
            }
        return {
            "format": FORMAT, "recipe": self.name, "quick": self.quick, "digest": self.digest, "made": self.made,
            "machine": self.machine, "test_images": self.images, "seconds": self.seconds,
            **({} if self.seconds is None else {"together": self.together}), "curve": list(CURVE), "arms": arms,
        }  # fmt: skip


def store(result: Result, experiment: Experiment) -> Path:
    """Write the result beside its recipe, one line a row of a curve."""
    path = experiment.result_path
    durable.make_folder(path.parent)
    durable.write_text(path, _compact(result.to_json(experiment.against)) + "\n")
    return path


def stored(experiment: Experiment) -> Result | None:
    """The result beside a recipe; None where there is none.

    Raises: ArtefactError where the file is damaged, or its result is of another form of the recipe.
    """
    path = experiment.result_path
    if not path.is_file():
        return None
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        if whole["format"] != FORMAT:
            raise ArtefactError(f"{path}: of the format {whole['format']!r}; expected {FORMAT!r}")
        found = Result(
            str(whole["recipe"]), bool(whole["quick"]), str(whole["digest"]), str(whole["made"]),
            str(whole["machine"]), int(whole["test_images"]),
            tuple(Outcome(name, tuple(map(_run, arm["runs"]))) for name, arm in whole["arms"].items()),
            whole["seconds"], int(whole.get("together", 1)),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{path}: not a stored result ({type(error).__name__}: {error})") from error
    if found.digest != experiment.digest:
        raise ArtefactError(
            f"{path}: measured before {experiment.path.name} was changed; measure it again: "
            f"striate reproduce {experiment.form} --store"
        )
    if [one.name for one in found.outcomes] != [arm.name for arm in experiment.arms]:
        raise ArtefactError(f"{path}: its arms are not those of {experiment.path.name}")
    if any(len(one.runs) != experiment.work.seeds for one in found.outcomes):
        raise ArtefactError(f"{path}: an arm has not {experiment.work.seeds} runs")
    return found


def _run(run: dict[str, Any]) -> Measured:
    rows = tuple(dict(zip(CURVE, map(float, row), strict=True)) for row in run["curve"])
    return Measured(float(run["value"]), bool(run["diverged"]), rows, dict(run["details"]))


def _interval(one: Interval) -> dict[str, float | int | None]:
    return {"mean": _short(one.mean), "low": _short(one.low), "high": _short(one.high), "n": one.n}


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _compact(whole: dict[str, Any]) -> str:
    """Indented, but lists of numbers on one line: a curve is read, and compared, row by row."""
    lines: list[str] = []
    held: list[str] | None = None
    for line in json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False).splitlines():
        word = line.strip()
        if held is None and word.endswith("["):
            held = [line]
        elif held is not None and (word.endswith("[") or word.endswith("{")):
            lines += held
            held = [line] if word.endswith("[") else None
            if held is None:
                lines.append(line)
        elif held is not None and word.startswith("]"):
            lines.append(held[0] + " ".join(held[1:]) + word)
            held = None
        elif held is not None:
            held.append(word)
        else:
            lines.append(line)
    return "\n".join(lines)
