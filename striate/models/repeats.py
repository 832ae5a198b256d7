"""Blocks in a row that are alike: what one of them costs, the next one costs, too.

ResNet-1202 is three stages of 200 blocks, and in a stage 199 of them differ in nothing but their numbers. Where an
image without numbers is sent through, the second of such blocks stands for those that follow it, which do not run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from striate.blocks.wiring import Chain

FEWEST = 4  # blocks in a row from which on some are passed over
ASIDE = {"training", "survival"}  # what alters neither shapes nor costs
KNOWN = ("torch.nn.modules.", "striate.")  # where layers come from whose attributes say all that they do
PASS = nn.Identity()


@dataclass(frozen=True)
class Run:
    """Blocks of a chain that follow one that is like them."""

    chain: Chain
    prefix: str  # of the names of the chain's steps
    steps: tuple[str, ...]


class Repeats:
    """Which blocks of a model stand for others, by name."""

    def __init__(self, model: nn.Module) -> None:
        self._runs: dict[str, Run] = {}
        self._passed_over: list[tuple[Chain, str, nn.Module]] = []
        layers = dict(model.named_modules(remove_duplicate=False))
        tensors = [id(x) for layer in layers.values() for x in _own(layer)]
        if len(set(tensors)) < len(tensors) or len(set(layers.values())) < len(layers):
            return  # what is used twice is counted once: blocks that share it are not alike
        for name, layer in layers.items():
            if type(layer) is Chain and len(layer.order) >= FEWEST:
                self._find(layer, f"{name}." if name else "")

    def _find(self, chain: Chain, prefix: str) -> None:
        for form, group in groupby(chain.order, key=lambda step: _form(chain._modules[step])):
            _, *later = group
            if form is not None and len(later) >= FEWEST - 1:
                self._runs[prefix + later[0]] = Run(chain, prefix, tuple(later[1:]))

    def following(self, name: str, inputs: Any, output: Any) -> tuple[tuple[str, nn.Module], ...]:
        """Names and blocks that the block of this name, which has just run, stands for: they will not run.

        None, if it makes of a tensor one of another shape, and so the next block would see another.
        """
        run = self._runs.get(name)
        if run is None or not (len(inputs) == 1 and isinstance(output, Tensor) and inputs[0].shape == output.shape):
            return ()
        blocks = [(step, run.chain._modules[step]) for step in run.steps]
        for step, block in blocks:
            self._passed_over.append((run.chain, step, block))
            run.chain._modules[step] = PASS
        return tuple((run.prefix + step, block) for step, block in blocks)

    def put_back(self) -> None:
        """The model as it was."""
        for chain, step, block in self._passed_over:
            chain._modules[step] = block
        self._passed_over.clear()


@contextmanager
def abridged(model: nn.Module) -> Iterator[Repeats]:
    """Blocks that are alike can be passed over inside; afterwards the model is as it was."""
    repeats = Repeats(model)
    try:
        yield repeats
    finally:
        repeats.put_back()


def _own(layer: nn.Module) -> list[Tensor]:
    return [x for x in (*layer._parameters.values(), *layer._buffers.values()) if x is not None]


def _form(layer: nn.Module) -> tuple[Any, ...] | None:
    """All that two blocks have in common that are alike; None where that can't be said."""
    if not type(layer).__module__.startswith(KNOWN):
        return None
    told = [(key, v) for key, v in vars(layer).items() if not key.startswith("_") and key not in ASIDE]
    if any(isinstance(v, Tensor | list | dict | set) for _, v in told):
        return None
    inside = []
    for name, child in layer._modules.items():
        form = _form(child) if child is not None else ()
        if form is None:
            return None
        inside.append((name, form))
    weights = [(tuple(x.shape), x.dtype, x.requires_grad) for x in _own(layer)]
    return type(layer), tuple(told), tuple(weights), tuple(inside)
