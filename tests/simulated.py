"""A device of its own that is not there: memory that only its own operations reach, as on a GPU.

Tensors on it hold theirs in the processor's memory, which computes what is asked for: numbers come out as on the
processor, bit by bit. Whoever gives an operation tensors of both gets an error, as from torch; every look at a number,
and every copy that is waited for, is written down.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
_setup_privateuseone_for_python_backend(NAME)
DEVICE = torch.device(NAME, 0)
getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]
LOOKS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default, torch.ops.aten.nonzero.default}
COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}

looks: list[str] = []  # operations that waited for a number


@contextmanager
def plugged_in() -> Iterator[torch.device]:
    """While networks are brought to the device.

    `Module.to` else exchanges the data of a parameter in place, of which such a tensor would hear only half.
    """
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    looks.clear()
    try:
        yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
        looks.clear()


class Elsewhere(Tensor):
    """A tensor on the device."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "Elsewhere":
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=DEVICE, requires_grad=here.requires_grad,
        )  # fmt: skip
        made.here = here
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.here})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = [x for x in tensors if isinstance(x, Elsewhere)]
        if func in LOOKS:
            looks.append(str(func))
        elif func in COPIES:
            leaves = _target(kwargs) == "cpu" or not isinstance(args[0], Elsewhere)
            comes = func is torch.ops.aten.copy_.default and not isinstance(args[1], Elsewhere)
            if leaves or (comes and not (kwargs.get("non_blocking") or args[2:3] == (True,))):
                looks.append(str(func))
        elif any(x.dim() and not isinstance(x, Elsewhere) for x in tensors):
            raise RuntimeError(f"{func}: expected all tensors on one device, found {NAME} and cpu")
        assert there
        found = func(*pytree.tree_map(_here, args), **pytree.tree_map(_here, kwargs))
        if func is torch.ops.aten._to_copy.default and _target(kwargs) == "cpu":
            return found
        return return_and_correct_aliasing(func, args, kwargs, pytree.tree_map(_there, found))


def _target(kwargs: dict[str, Any]) -> str | None:
    device = kwargs.get("device")
    return None if device is None else torch.device(device).type


def _here(x: Any) -> Any:
    if isinstance(x, Elsewhere):
        return x.here
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == NAME else x


def _there(x: Any) -> Any:
    return Elsewhere(x) if isinstance(x, Tensor) and not isinstance(x, Elsewhere) else x


def _empty(size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
           memory_format: Any = None) -> Tensor:  # fmt: skip
    return Elsewhere(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, layout: Any = None,
                   device: Any = None, pin_memory: Any = None) -> Tensor:  # fmt: skip
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: Elsewhere, non_blocking: bool = False) -> Tensor:
    """How `torch.tensor(numbers, device=...)` gets them there."""
    if not non_blocking:
        looks.append("_copy_from")
    target.here.copy_(_here(source))
    return target


_factories = torch.library.Library("aten", "IMPL")
_factories.impl("empty.memory_format", _empty, "PrivateUse1")
_factories.impl("empty_strided", _empty_strided, "PrivateUse1")
_factories.impl("_copy_from", _copy_from, "PrivateUse1")
