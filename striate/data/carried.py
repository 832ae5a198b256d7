"""Numbers that NumPy found, taken to where the images are."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def carried(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on a device. On a processor they share their memory; no other device is waited for."""
    found = torch.from_numpy(np.ascontiguousarray(values))
    return found if device.type == "cpu" else carried_tensor(found, device)


def carried_tensor(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, which is not waited for: from pinned memory, a copy goes on beside the program."""
    if values.device == device:
        return values
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
