"""Five ways to wire layers. Every network in the zoo is layers plus these, and nothing else.

    Chain     y = f3(f2(f1(x)))              LeNet-5, 1998
    Branches  y = cat(f(x), g(x), ...)       GoogLeNet, 2014
    Residual  y = last(F(x) + shortcut(x))   ResNet, 2015
    Append    y = cat(x, F(x))               DenseNet, 2016
    Gate      y = x * F(x)                   SENet, 2017

Steps are given by keyword, so each has a name: the name is the key of its weights, of its activation in `look`, and
of its box on the page. Steps that a paper only counts (the blocks of a stage) are given by position: "0", "1", ...

The declared order is data: `named_children()` of a wiring lists its steps in the order in which they run, and a step
that is assigned anew (`model.fc = nn.Linear(64, 5)`) keeps its place.
"""

import torch
from torch import Tensor, nn

from striate.blocks.misfit import Misfit, reason


class Chain(nn.Module):
    """y = f3(f2(f1(x))), in the order the steps are given.

    >>> net = Chain(conv=nn.Conv2d(1, 4, 3), pool=nn.MaxPool2d(2), blocks=Chain(nn.ReLU(), nn.Identity()))
    >>> [name for name, _ in net.named_modules() if name]
    ['conv', 'pool', 'blocks', 'blocks.0', 'blocks.1']

    Raises: ShapeError, from forward, naming the step that can't take what it is given.
    """

    _modules: dict[str, nn.Module]  # type: ignore[assignment]  # a step is never None

    def __init__(self, *numbered: nn.Module, **named: nn.Module) -> None:
        super().__init__()
        steps = {str(i): step for i, step in enumerate(numbered)} | named
        self.order = tuple(steps)
        for name, step in steps.items():
            self.add_module(name, step)

    def forward(self, x: Tensor) -> Tensor:
        modules, given, name = self._modules, x, ""
        try:
            for name in self.order:
                x = modules[name](x)
        except Exception as error:
            _locate(error, name, modules[name], x, given)
            raise
        return x

    def _run(self, name: str, x: Tensor) -> Tensor:
        """One step by its name, for the wirings that are not one after the other."""
        try:
            y: Tensor = self._modules[name](x)
        except Exception as error:
            _locate(error, name, self._modules[name], x, x)
            raise
        return y


class Branches(Chain):
    """y = cat(f(x), g(x), ...) over channels: every step sees the same x."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._run(name, x) for name in self.order], dim=1)


class Residual(Chain):
    """y = last(F(x) + shortcut(x)), F being the chain. The shortcut's weights are called `downsample`."""

    def __init__(self, shortcut: nn.Module, last: nn.Module, *numbered: nn.Module, **named: nn.Module) -> None:
        super().__init__(*numbered, **named)
        if "downsample" in self.order:
            raise ValueError("the steps of F can't be called 'downsample': that is the shortcut's name")
        self.downsample, self.last = shortcut, last

    def forward(self, x: Tensor) -> Tensor:
        return self._run("last", super().forward(x) + self._run("downsample", x))


class Append(Chain):
    """y = cat(x, F(x)) over channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], dim=1)


class Gate(Chain):
    """y = x * F(x), F(x) broadcast over the axes that it has squeezed to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x)


def _locate(error: Exception, name: str, step: nn.Module, x: Tensor, given: Tensor) -> None:
    """Add to the error at which step it happened; raise a Misfit in its place if the step can't take such an x."""
    if isinstance(error, Misfit):
        error.leave(name, tuple(given.shape))
    elif why := reason(step, x):
        raise Misfit(name, why, tuple(given.shape)) from error
    else:
        error.add_note(f"in step {name}, which was given {tuple(x.shape)}")
