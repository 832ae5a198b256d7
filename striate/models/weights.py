"""Weights from a file into a model, by name and all of them, or an error that says which do not fit."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.errors import ArtefactError

WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy the tensors of a `.safetensors` file into the model, which must have all of them and no others.

    Raises: ArtefactError if the file is absent or damaged, or names or shapes differ; the model is then as it was.
    """
    try:
        stored = {_bare(name): tensor for name, tensor in load_file(path).items()}
    except FileNotFoundError:
        raise ArtefactError(f"{path}: there is no such weights file") from None
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path}: not a readable .safetensors file ({error})") from error
    differences = _differences(model.state_dict(), stored)
    if differences:
        raise ArtefactError(f"{path}: these weights do not fit the model: {'; '.join(differences)}")
    model.load_state_dict(stored)


def _bare(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def _differences(wanted: dict[str, Tensor], stored: dict[str, Tensor]) -> list[str]:
    # How many batches a norm has seen is no weight; files older than torch 0.4.1 do not have it.
    missing = [name for name in wanted if name not in stored and not name.endswith(".num_batches_tracked")]
    unexpected = [name for name in stored if name not in wanted]
    reshaped = [
        f"{name} is {tuple(stored[name].shape)} in the file and {tuple(wanted[name].shape)} in the model"
        for name in wanted
        if name in stored and stored[name].shape != wanted[name].shape
    ]
    return [
        *([f"the file lacks {_some(missing)}"] if missing else []),
        *([f"the model has no {_some(unexpected)}"] if unexpected else []),
        *([_some(reshaped)] if reshaped else []),
    ]


def _some(items: list[str]) -> str:
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
