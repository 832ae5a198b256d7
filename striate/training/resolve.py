"""What `"auto"` means for this data set, this model and this machine. Each answer is a value that the run stores."""

from dataclasses import dataclass

import numpy as np

from striate.data.augment import Augment
from striate.data.choose import Choice, choose
from striate.data.dataset import Dataset
from striate.data.preprocess import Preprocess
from striate.errors import DatasetError, RecipeError
from striate.models.registry import Entry, entry
from striate.training.machine import Machine
from striate.training.recipe import Recipe

GENTLE = 0.0003  # learning rate where trained weights are trained further and none is given
NATIVE = 28  # pixels: images of one size from here on are seen at their own size where the network allows it

_AUGMENT = {  # by the name of the data set
    "digits": "rotation:10 shift:0.08 zoom:0.08",
    "mnist": "rotation:10 shift:0.08 zoom:0.08",
    "fashion_mnist": "hflip shift:0.05",
    "cifar10": "hflip crop:4",
    "cifar100": "hflip crop:4",
}


@dataclass(frozen=True)
class Resolved:
    """A recipe without open questions, but whether to compile, and what it means for the network."""

    recipe: Recipe
    choice: Choice
    outputs: int  # logits; 1 is a sigmoid for two classes
    channels: int


def resolve(
    recipe: Recipe,
    dataset: Dataset,
    sizes: np.ndarray,
    machine: Machine,
    prepared: tuple[Preprocess, str] | None = None,
) -> Resolved:
    """`sizes` (N, 2): height and width of the training images, as they are stored. `prepared` is how images have to be
    prepared for the weights that training starts from, and why.

    Raises: RecipeError, DatasetError where recipe, data and model do not go together.
    """
    model, k, n = entry(recipe.model), len(dataset.classes), len(dataset.split("train"))
    if k < 2:
        raise DatasetError(
            f"{dataset.name}: a classifier needs at least two classes; there is {k}: {', '.join(dataset.classes)}"
        )
    loss, outputs = _head(recipe, model, k)
    if isinstance(recipe.class_weights, list) and len(recipe.class_weights) != k:
        raise RecipeError(
            f"class_weights has {len(recipe.class_weights)} numbers for {k} classes: {', '.join(dataset.classes)}"
        )
    by_hand = recipe.engine == "by-hand"
    if by_hand and recipe.precision == "bf16":
        raise RecipeError("engine = 'by-hand' computes in NumPy, which has no bf16; expected precision = 'float32'")
    if by_hand and recipe.compile is True:
        raise RecipeError("engine = 'by-hand' computes in NumPy, which torch can't compile; leave out compile")
    if machine.processes > 1 and recipe.compile is True:
        raise RecipeError("compile = true: only where one process trains alone; leave it out")
    fast = machine.bf16 and not by_hand
    channels = prepared[0].channels if prepared else {"gray": 1, "rgb": 3, "auto": dataset.channels}[recipe.channels]
    batch = recipe.batch if recipe.batch != "auto" else 128 if n >= 5000 else 32
    batch = min(batch, n)
    per_epoch = -(-n // (batch * recipe.accumulate))
    augment = str(Augment.parse(_augment(recipe, dataset, channels) if recipe.augment == "auto" else recipe.augment))
    size = prepared[0].size[0] if prepared else recipe.size or _size(model, sizes)
    chosen = Choice(*prepared) if prepared else choose(
        dataset.split("train"),
        sizes,
        size=(size, size),
        channels=channels,
        resize=None if recipe.resize == "auto" else recipe.resize,
        interpolation=recipe.interpolation,
    )  # fmt: skip
    done = recipe.model_copy(
        update={
            "model": model.name,
            "loss": loss,
            "channels": "gray" if channels == 1 else "rgb",
            "size": size,
            "resize": chosen.preprocess.resize,
            "interpolation": chosen.preprocess.interpolation,
            "augment": augment,
            "batch": batch,
            "epochs": recipe.epochs if recipe.epochs != "auto" else min(100, max(20, -(-1500 // per_epoch))),
            "precision": recipe.precision if recipe.precision != "auto" else "bf16" if fast else "float32",
            "channels_last": recipe.channels_last is not False and not by_hand,
            "lr": GENTLE if recipe.weights and recipe.freeze != "head" and not _given(recipe, "lr") else recipe.lr,
            "compile": False if by_hand or machine.processes > 1 else recipe.compile,
            "norms": ("keep" if recipe.weights else "train") if recipe.norms == "auto" else recipe.norms,
            "features": "live" if recipe.features == "auto" else recipe.features,
        }
    )
    return Resolved(done, chosen, outputs, channels)


def _head(recipe: Recipe, model: Entry, k: int) -> tuple[str, int]:
    if recipe.loss == "bce":
        if k != 2:
            raise RecipeError(f"loss = 'bce' tells two classes apart; there are {k} (cross_entropy takes any number)")
        return "bce", 1
    if recipe.loss == "auto" and model.classes == 1 and k == 2:
        return "bce", 1
    return ("cross_entropy" if recipe.loss == "auto" else recipe.loss), k


def _given(recipe: Recipe, setting: str) -> bool:
    return setting in recipe.model_fields_set


def _augment(recipe: Recipe, dataset: Dataset, channels: int) -> str:
    if recipe.freeze == "head" and not (recipe.unfreeze or recipe.views or recipe.features == "live"):
        return "none"  # features are then computed once
    return _AUGMENT.get(dataset.name) or ("hflip shift:0.1 zoom:0.1" if channels == 3 else "rotation:5 shift:0.05")


def _size(model: Entry, sizes: np.ndarray) -> int:
    height, width = (int(side) for side in sizes[0])
    one_size = bool((sizes == sizes[0]).all())
    own = max(height, width)
    if one_size and not model.fixed_size and max(NATIVE, model.smallest) <= own < model.input[1]:
        return own
    return model.input[1]
