"""Tensors and a JSON header in one safetensors file that notices damage.

Neither safetensors nor torch's own format sees a changed value; here the header carries a SHA-256 over itself and
every tensor, and a file that does not agree with it is refused. The same content always gives the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from striate.errors import ArtefactError

KEY = "striate"  # the one key of the file's metadata: the order of several is not fixed


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """The bytes of the file; `header` must not have a key `sha256`."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(dict(header), sort_keys=True, allow_nan=False)
    whole = json.dumps(dict(header) | {"sha256": _digest(content, text)}, sort_keys=True, allow_nan=False)
    return save(content, metadata={KEY: whole})


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header.  Raises: ArtefactError where the file is not one of ours, or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(path, file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path}: can't be read ({error})") from error
    stated = header.pop("sha256", None)
    if stated != _digest(dict(sorted(tensors.items())), json.dumps(header, sort_keys=True)):
        raise ArtefactError(f"{path}: damaged; its content does not have the SHA-256 that was written with it")
    return tensors, header


def header_of(path: Path) -> dict[str, Any]:
    """The header alone, unchecked: for lists and messages."""
    try:
        with safe_open(path, framework="pt") as file:
            return _header(path, file.metadata())
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path}: can't be read ({error})") from error


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise ArtefactError(f"{path}: has no Striate header; `striate train` did not write it")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: damaged; its header is not valid JSON ({error})") from error
    if not isinstance(header, dict):
        raise ArtefactError(f"{path}: damaged; its header is not a table")
    return header


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    whole = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        whole.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return whole.hexdigest()
