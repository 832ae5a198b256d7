"""The tensors in a weights file, whoever wrote it: .safetensors, PyTorch's .pth, Keras' .h5.

Nothing in such a file is ever run: PyTorch's are read with `weights_only=True`, of HDF5 files only arrays that lie in
the file itself. What wrappers and training scripts put around the tensors is taken off.

Source:  PyTorch, torch.load; Keras 3.15, legacy_h5_format.py (groups, `layer_names`, `weight_names`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from striate.errors import ArtefactError, MissingExtra

if TYPE_CHECKING:
    import h5py

PICKLED = (".pth", ".pt", ".th", ".bin", ".ckpt", ".tar")
KERAS = (".h5", ".hdf5")
# Where training scripts keep the weights, the best first: moving averages are what was evaluated.
WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
)
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")  # DataParallel, torch.compile, Lightning, others
COUNTERS = ("n_averaged",)  # of torch's AveragedModel: no weight
LARGEST = 1 << 33  # bytes that an .h5 file may say it holds
DENSEST = 200  # times its own length
PART = re.compile(
    r"(?:^|_)(depthwise_kernel|pointwise_kernel|kernel|bias|gamma|beta|moving_mean|moving_variance|W|b|running_mean|running_std)"
    r"(?:_\d+)?(?::\d+)?$"
)
OLD_PARTS = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}


@dataclass(frozen=True)
class Stored:
    """What was found: tensors by name in the file's order, and what was around them."""

    tensors: dict[str, Tensor]
    form: Literal["torch", "keras"]  # keras: names are layer/part, arrays as Keras has them
    within: str = ""  # keys and prefixes that were taken off, for the report


def read_weights(path: Path) -> Stored:
    """All tensors of a weights file, on the CPU.

    Raises: ArtefactError where it is absent, damaged, of another kind, or holds more than tensors; MissingExtra for
    .h5 without h5py.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: there is no such weights file")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _of_torch(_safetensors(path), path)
    if suffix in PICKLED:
        return _of_torch(_pickled(path), path)
    if suffix in KERAS:
        return Stored(_keras(path), "keras")
    raise ArtefactError(f"{path}: not a kind of weights file that is read (.safetensors, .pth, .pt, .h5)")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path}: not a readable .safetensors file ({error})") from error


def _pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ArtefactError(f"{path}: can't be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged file can make the reader fail in any way
        said = " ".join(str(error).split())
        if foreign := re.search(r"(?:Unsupported global: GLOBAL|unsupported class|Unsupported class) ([\w.]+)", said):
            raise ArtefactError(
                f"{path}: holds more than tensors ({foreign[1]}), and to read that would run code from the file; "
                "refused. Whoever trusts it can save its state_dict alone, as .safetensors"
            ) from error
        raise ArtefactError(f"{path}: not a readable PyTorch file ({said[:160]})") from error


def _of_torch(found: Any, path: Path) -> Stored:
    within = []
    while isinstance(found, Mapping) and not _tensors(found):
        key = next((key for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if key is None:
            break
        found = found[key]
        within.append(key)
    if not isinstance(found, Mapping) or not (tensors := _tensors(found)):
        raise ArtefactError(
            f"{path}: holds no named tensors; expected a state_dict, or one under {', '.join(WRAPPERS)}"
        )
    if odd := [name for name, t in tensors.items() if t.layout is not torch.strided or t.is_quantized or t.is_meta]:
        raise ArtefactError(f"{path}: {odd[0]} is not a plain tensor")
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in tensors if n not in COUNTERS)), None):
        tensors = {n.removeprefix(prefix): t for n, t in tensors.items() if n not in COUNTERS}
        within.append(prefix)
    if any(_bare(name) != name for name in tensors):  # a part of the model was wrapped
        tensors = {_bare(name): tensor for name, tensor in tensors.items()}
    if all("/" in name and PART.search(name.rpartition("/")[2]) for name in tensors):
        return Stored({_layer_part(name): t for name, t in tensors.items()}, "keras", " ".join(within))
    return Stored({n: t for n, t in tensors.items() if n not in COUNTERS}, "torch", " ".join(within))


def _tensors(found: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _bare(name: str) -> str:
    return re.sub(r"(^|\.)(?:(?:module|_orig_mod)\.)+", r"\1", name)


def _layer_part(name: str) -> str:
    """`conv1/conv1/kernel:0` -> `conv1/kernel`; what is no part of a Keras layer stays as it is."""
    layer, _, last = name.partition("/")
    found = PART.search(last.rpartition("/")[2])
    if found is None:
        return name
    return f"{layer}/{OLD_PARTS.get(found[1], found[1])}"


def _keras(path: Path) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(f"{path}: Keras' files are read with h5py: pip install 'striate[keras-weights]'") from error
    try:
        with h5py.File(path, "r") as file:
            return dict(_arrays(file, path))
    except ArtefactError:
        raise
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise ArtefactError(f"{path}: not a readable .h5 file ({' '.join(str(error).split())[:160]})") from error


def _arrays(file: "h5py.File", path: Path) -> Iterator[tuple[str, Tensor]]:
    import h5py

    root: Any = file.get("model_weights", file) if _is_hard(file, "model_weights") else file
    names = [_text(name) for name in root.attrs.get("layer_names", [])]
    if not names:
        what = "layers" in file or "_layer_checkpoint_dependencies" in file
        raise ArtefactError(
            f"{path}: "
            + ("Keras 3 has numbered its layers by kind (.weights.h5), by which they can't be told apart for sure; "
               "save the model as model.h5" if what else "not a weights file of Keras (it lists no layers)")
        )  # fmt: skip
    room = min(LARGEST, DENSEST * path.stat().st_size)
    for layer in names:
        group = _inside(root, layer, path)
        for weight in (_text(name) for name in group.attrs.get("weight_names", [])):
            array = _inside(group, weight, path)
            if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "fiu":
                raise ArtefactError(f"{path}: {layer}/{weight} is not an array of numbers")
            if array.is_virtual or array.external:
                raise ArtefactError(f"{path}: {layer}/{weight} lies in another file, which is not read")
            room -= array.size * array.dtype.itemsize
            if room < 0:
                raise ArtefactError(f"{path}: says that it holds far more than its {path.stat().st_size:,} bytes")
            yield _layer_part(f"{layer}/{weight}"), torch.from_numpy(np.asarray(array[()]))  # numbers, too


def _inside(group: Any, name: str, path: Path) -> Any:
    """A member, by a path that never leaves the file."""
    for part in name.split("/"):
        if not part:
            continue
        if not _is_hard(group, part):
            raise ArtefactError(f"{path}: {name} is absent, or a link, which is not followed")
        group = group[part]
    return group


def _is_hard(group: Any, name: str) -> bool:
    import h5py

    return isinstance(group, h5py.Group) and isinstance(group.get(name, getlink=True), h5py.HardLink)


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
