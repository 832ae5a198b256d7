"""The phases of a training: which steps are frozen from which epoch on.

freeze = "head", unfreeze = [{epoch = 11, down_to = "layer4", lr = 1e-5}]

epochs 1 to 10    all but the head is frozen
from epoch 11     all in front of layer4 is; the rate is 1e-5 at its peak, and its schedule begins anew
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from striate.errors import RecipeError
from striate.training.recipe import Recipe
from striate.training.transfer.places import frozen_steps, span, steps, within


@dataclass(frozen=True)
class Phase:
    """From `begins` on (epochs before it: 0 is the first) these steps are frozen."""

    begins: int
    frozen: tuple[str, ...]


def phases(module: nn.Module, recipe: Recipe, head: str, apart: Sequence[str]) -> tuple[Phase, ...]:
    """The phases that a recipe asks for, the first from the beginning.

    Raises: UnknownName, RecipeError for a step that is not there, a phase that unfreezes nothing or never comes, and
    where nothing would be trained.
    """
    known = steps(module)
    found = [Phase(0, frozen_steps(module, recipe.freeze, head))]
    for phase in recipe.unfreeze:
        epoch, place = int(phase["epoch"]), str(phase["down_to"])
        first = 0 if place == "all" else span(known, place, "unfreeze: down_to")[0]
        if first >= len(found[-1].frozen):
            kept = f"all after {found[-1].frozen[-1]}" if found[-1].frozen else "everything"
            raise RecipeError(f"unfreeze: down_to = {place!r} from epoch {epoch} on is nothing new: {kept} is trained")
        if isinstance(recipe.epochs, int) and epoch > recipe.epochs:
            raise RecipeError(f"unfreeze: epoch = {epoch} never comes; the training has {recipe.epochs} epochs")
        found.append(Phase(epoch - 1, known[:first]))
    trained = any(_trained(name, found[0].frozen, apart) for name, _ in module.named_parameters())
    if not trained or any(within(head, step) for step in found[0].frozen):
        raise RecipeError(f"freeze = {recipe.freeze!r} leaves nothing to train; freeze = 'head' trains the head alone")
    return tuple(found)


def phase_at(found: Sequence[Phase], epoch: int) -> int:
    """Which phase an epoch (0 is the first) belongs to."""
    return max(i for i, phase in enumerate(found) if phase.begins <= epoch)


def _trained(name: str, frozen: Sequence[str], apart: Sequence[str]) -> bool:
    return any(within(name, head) for head in apart) or not any(within(name, step) for step in frozen)


def describe(found: Sequence[Phase], module: nn.Module, epochs: int) -> str:
    """What is frozen when, in words."""
    parts = []
    for i, phase in enumerate(found):
        ends = list(dict.fromkeys((*phase.frozen[:1], *phase.frozen[-1:])))
        what = " to ".join(ends) or "nothing"
        values = sum(p.numel() for step in phase.frozen for p in module.get_submodule(step).parameters())
        share = values / max(1, sum(p.numel() for p in module.parameters()))
        last = found[i + 1].begins if i + 1 < len(found) else epochs
        when = f"epochs {phase.begins + 1} to {last}: " if len(found) > 1 else ""
        parts.append(f"{when}{what}" + (f" ({share:.1%} of the parameters)" if phase.frozen else ""))
    return "; ".join(parts)
