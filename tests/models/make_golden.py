"""Write golden.json: for each registered model, the counts that others found for it.

    python tests/models/make_golden.py SHARED

reads SHARED/facts/facts.json, where every count names the implementation that it was taken from. Nothing in the
result is computed by Striate.
"""

import json
import sys
from pathlib import Path
from typing import Any

from striate.models.registry import entry, list_models

GOLDEN = Path(__file__).parent / "golden.json"
# The form that is built here, where the facts' first choice is another form of the network.
FORM = {"lenet5": "lenet5_deck_linear_out"}  # the facts prefer the RBF output of 1998


def facts_of(name: str, architectures: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of one model, and the shapes of its stages."""
    names = {name, *entry(name).aliases}
    facts = next((a for a in architectures if a["id"] in names), None)
    if facts is None:
        raise SystemExit(f"{name}: no architecture of the facts has one of the names {sorted(names)}")
    found = facts["expected"]
    builder = FORM.get(name, found["from_reference"].split(":", 1)[1])
    reference = next(r for r in facts["references"] if r["builder"] == builder)
    return {
        "id": facts["id"],
        "source": f"{reference['impl']}:{builder}",
        "input": found["input"],
        "classes": reference["output"][0],
        "parameters": reference["params_trainable"],
        "running_statistics": reference["bn_running_stats"],
        "macs": reference["macs"],
        "stages": dict(facts["stages"]["list"]),
    }


def golden(facts: Path) -> dict[str, Any]:
    architectures = json.loads(facts.read_text())["architectures"]
    return {name: facts_of(name, architectures) for name in list_models()}


if __name__ == "__main__":
    lines = [
        f" {json.dumps(k)}: {json.dumps(v)}" for k, v in golden(Path(sys.argv[1]) / "facts" / "facts.json").items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
