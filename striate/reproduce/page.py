"""docs/results.md and its pictures, from the recipes and their stored results alone.

A picture is named in the page and lies in docs/images/results/. Nothing is written here: `results_page` gives every
file with its content, and tests hold that the ones in docs/ are these.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from striate.reproduce.experiment import Experiment, names, read_experiment
from striate.reproduce.intervals import Interval
from striate.reproduce.pictures import error_curves, gradient_curves, trade
from striate.reproduce.result import Outcome, Result, stored
from striate.reproduce.verdict import beside_claim

PAGE = PurePosixPath("results.md")
IMAGES = PurePosixPath("images/results")
FIRST = (  # the order of the page; what is not named here comes after, by name
    "mnist_lenet5", "mnist_lenet5_1998", "mnist_convnet", "capsnet_mnist", "cifar10_degradation",
    "ingredient_activation", "ingredient_initialisation", "ingredient_batch_norm", "ingredient_dropout",
    "ingredient_augmentation", "ingredient_pooling", "ingredient_lrn", "mobilenet_v1", "deep_compression",
)  # fmt: skip

_HEAD = """# Results

What the lectures and papers claim, measured here. Each result has a recipe (`recipes/NAME.toml`: claim, settings,
seeds) and is stored beside it as data (`recipes/results/`); this page is generated from these. One command runs a
recipe again and says whether it reproduces:

```sh
striate reproduce --list                     # claims, stored results, what they cost
striate reproduce mnist_lenet5 --quick       # exit code 0: reproduces; 1: does not
striate reproduce --all --quick
```

- **The small form** (`--quick`) has its own stored result: fewer images and passes. Its figures say nothing about the
  whole form.
- **Test images choose nothing**: the weights of the last epoch count, whatever the curve says.
- **Intervals** are 95 % over seeds (Student's t); differences are paired, seed by seed. A seed decides the first
  weights, the order, the augmentation and which training images are drawn. With two or three seeds intervals are wide:
  where one of a difference includes 0, nothing was shown. They are not corrected for how many arms are compared.
- **A repetition reproduces** when the mean of every arm lies where the stored runs let one expect it, in 95 of 100
  repetitions all arms together (`striate/reproduce/intervals.py`).
- A training whose numbers cease to be finite is counted as always giving one class. In pictures the line is the mean of
  the seeds, the band reaches from the lowest to the highest.
- Decks are numbered from 0. Times are stated where the machine did nothing else; where none is, none was measured.
"""


def results_page(recipes: Path) -> dict[PurePosixPath, str]:
    """Every file of the page, by its place in docs/.

    Raises: RecipeError, ArtefactError for a recipe or a result that is damaged, or a result older than its recipe.
    """
    files: dict[PurePosixPath, str] = {}
    parts, waiting = [_HEAD], []
    known = names(recipes)
    for name in sorted(known, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        forms = [read_experiment(recipes / f"{name}.toml", quick=quick) for quick in (False, True)]
        found = [(form, result) for form in forms if (result := stored(form)) is not None]
        if not found:
            waiting.append(f"- **{forms[0].claim.title}** (`{name}`): {forms[0].claim.says} ({forms[0].claim.who})")
            continue
        parts.append(_section(forms[0], found, files))
    if waiting:
        parts.append("## Not run yet\n\nThe recipes are there; nothing is claimed.\n\n" + "\n".join(waiting) + "\n")
    files[PAGE] = "\n".join(parts)
    return files


def _section(whole: Experiment, found: list[tuple[Experiment, Result]], files: dict[PurePosixPath, str]) -> str:
    claim = whole.claim
    lines = [f"## {claim.title}", "", f"> {claim.says}", f"> ({claim.who})", ""]
    for form, result in found:
        lines += [f"{_form(form, result)}", "", *_table(form, result), ""]
        if said := beside_claim(form, result):
            lines += [said + (" The small form was not made to reach it." if form.quick else ""), ""]
        for kind, picture in (
            ("error", error_curves(result)),
            ("gradients", gradient_curves(result)),
            ("trade", trade(result, claim.metric)),
        ):
            if picture is not None:
                place = IMAGES / f"{whole.name}{'.quick' if form.quick else ''}.{kind}.svg"
                files[place] = picture + "\n"
                lines += [f"![{_said(kind, claim.title)}]({place})", ""]
    if claim.differs:
        lines += [claim.differs, ""]
    _, result = found[0]
    took = "" if result.seconds is None else f", {result.seconds / 60:.1f} minutes"
    lines += [f"`{claim.command}` · {result.machine}, {result.made}{took}", ""]
    return "\n".join(lines)


def _form(form: Experiment, result: Result) -> str:
    first = form.arms[0].recipe
    runs = "1 run" if form.work.seeds == 1 else f"{form.work.seeds} seeds"
    if first is None:
        how = f"{result.images:,} photographs, evaluation only"
    else:
        trained = f"{form.work.train_images:,}" if form.work.train_images else "all"
        how = f"{trained} training images, {first.epochs} epochs, {result.images:,} test images, {runs}"
    return f"**{'Small form' if form.quick else 'Whole form'}**: {how}."


def _table(form: Experiment, result: Result) -> list[str]:
    base = form.work.baseline
    details = result.outcomes[0].runs[0].details
    columns: list[tuple[str, Callable[[Outcome], str]]] = [
        ("", lambda one: one.name),
        (form.claim.metric, lambda one: _mean(one.mean)),
    ]
    if base:
        columns.append(
            (f"against {base}", lambda one: "" if one.name == base else _gap(result.difference(one.name, base)))
        )
    if any(run.curve for one in result.outcomes for run in one.runs):
        columns.append(("training accuracy at the end, %", _training))
    counts = [one.runs[0].details.get("parameters") for one in result.outcomes]
    if "top5" not in details and None not in counts and (len(counts) == 1 or len(set(counts)) > 1):
        columns.append(("parameters", lambda one: f"{one.runs[0].details['parameters']:,}"))
    if any(run.diverged for one in result.outcomes for run in one.runs):
        columns.append(("diverged", lambda one: f"{sum(run.diverged for run in one.runs)} of {len(one.runs)}"))
    if "top5" in details:
        columns.append(("top-5, %", lambda one: f"{one.runs[0].details['top5']:.1f}"))
        columns.append(("claimed top-1 on ImageNet, %", lambda one: _or_dash(one.runs[0].details.get("claimed"))))
        columns.append(("parameters", lambda one: f"{one.runs[0].details['parameters']:,}"))
        columns.append(("million multiply-adds", lambda one: f"{one.runs[0].details['macs'] / 1e6:,.0f}"))
    if "bytes" in details:
        columns.append(("bytes of the file", lambda one: f"{one.runs[0].details['bytes']:,}"))
        columns.append(("of its weights stored", lambda one: _share(one.runs[0].details)))
    head = [f"| {' | '.join(title for title, _ in columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    return head + [f"| {' | '.join(cell(one) for _, cell in columns)} |" for one in result.outcomes]


def _mean(one: Interval) -> str:
    """The interval of a share ends where shares end.

    >>> _mean(Interval(98.2, 95.1, 101.3, 3))
    '98.20 (95.1 to 100)'
    """
    if one.low is None or one.high is None:
        return f"{one.mean:.2f}"
    low, high = max(0.0, one.low), min(100.0, one.high)
    return f"{one.mean:.2f} ({_number(low)} to {_number(high)})"


def _gap(one: Interval) -> str:
    if one.low is None or one.high is None:
        return f"{one.mean:+.2f}"
    return f"{one.mean:+.2f} ({one.low:+.1f} to {one.high:+.1f})"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value in (0.0, 100.0) else f"{value:.1f}"


def _training(one: Outcome) -> str:
    ends = [100 * run.curve[-1]["train_accuracy"] for run in one.runs if run.curve and not run.diverged]
    return f"{sum(ends) / len(ends):.1f}" if ends else "–"


def _share(details: dict[str, float]) -> str:
    kept, of = details["weights_stored"], details["weights"]
    return f"{kept:,} of {of:,}, {100 * kept / of:.0f} %"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _said(kind: str, title: str) -> str:
    what = {
        "error": "test error over epochs",
        "gradients": "size of the gradient at each convolution",
        "trade": "accuracy over operations",
    }[kind]
    return f"{title}: {what}"
