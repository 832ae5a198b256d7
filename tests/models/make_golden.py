"""Write golden.json: for each registered model, the counts that others found for it; and costs.json, our own.

    python tests/models/make_golden.py SHARED

reads SHARED/facts/facts.json, where every count names the implementation that it was taken from. Nothing in
golden.json is computed by Striate.
"""

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from striate.models.cost import cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

GOLDEN = Path(__file__).parent / "golden.json"
COSTS = Path(__file__).parents[2] / "striate" / "models" / "costs.json"
# The form that is built here, where the facts' first choice is another form of the network. LeNet-5 of the decks' table
# has a linear output (`also_accept`: linear_output); the facts' first choice has the RBF output of 1998, as
# `lenet5_1998` has.
FORM = {"lenet5": "lenet5_deck_linear_out"}
# Models that have the counts of another one: the facts' id of that, and the name of their MACs in `also_accept`.
BORROWED = {
    **{f"resnet{depth}.paper": (f"resnet{depth}", "macs_paper_stride") for depth in (50, 101, 152)},
    # the shortcuts that these lack have no weights and multiply nothing
    **{f"cifar_plain{depth}": (f"cifar_resnet{depth}", None) for depth in (20, 32, 44, 56, 110)},
}
# Models that the facts do not count, and what is compared instead.
UNCOUNTED = {
    "plain[0-9]*": "no reference; ResNet's counts less its projections, in test_residual_families",
    "cifar_densenet_bc*": "no reference; the millions that the paper prints, in test_residual_families",
    "nasnet_a_cifar": "no reference; the millions that the paper prints, in test_inception_family",
    "nasnet_[bc]": "the paper draws the cells; what its table 3 prints, in test_inception_family",
    "inception_v2_table1": "the paper prints no widths, so that no exact count exists",
}


def facts_of(name: str, architectures: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The counts of one model, and the shapes of its stages; None where nobody counted."""
    if any(fnmatchcase(name, pattern) for pattern in UNCOUNTED):
        return None
    twin, other = BORROWED.get(name, (name, None))
    names = {twin, *entry(twin).aliases}
    facts = next((a for a in architectures if a["id"] in names), None)
    if facts is None:
        raise SystemExit(f"{name}: no architecture of the facts has one of the names {sorted(names)}")
    found = facts["expected"]
    builder = FORM.get(name, found["from_reference"].split(":", 1)[1])
    reference = next(r for r in facts["references"] if r["builder"] == builder)
    chosen = found if name not in FORM else reference
    return {
        "id": facts["id"],
        "source": f"{reference['impl']}:{builder}" if other is None else f"also_accept:{other}",
        "input": found["input"],
        "parameters": chosen["params_trainable"],
        "running_statistics": reference.get("bn_running_stats"),
        "macs": chosen["macs"] if other is None else found["also_accept"][other],
        "stages": dict(facts.get("stages", {}).get("list", [])),
    }


def golden(facts: Path) -> dict[str, Any]:
    architectures = json.loads(facts.read_text())["architectures"]
    counted = {name: facts_of(name, architectures) for name in list_models()}
    return {name: known for name, known in counted.items() if known is not None}


def costs() -> dict[str, dict[str, int]]:
    """What `striate models` shows: counted once, since a hundred networks take half a minute."""
    return {name: _cost(name) for name in list_models()}


def _cost(name: str) -> dict[str, int]:
    with without_numbers():
        found = cost(create_model(name), entry(name).input)
    return {"parameters": found.parameters, "macs": found.macs}


def _write(path: Path, table: dict[str, Any]) -> None:
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    _write(GOLDEN, golden(Path(sys.argv[1]) / "facts" / "facts.json"))
    _write(COSTS, costs())
