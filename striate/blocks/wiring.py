"""Ways to wire layers. Every network in the zoo is layers plus these, and nothing else.

Five would do for most networks:

    Chain     y = f3(f2(f1(x)))              LeNet-5, 1998
    Branches  y = cat(f(x), g(x), ...)       GoogLeNet, 2014
    Residual  y = last(F(x) + shortcut(x))   ResNet, 2015
    Append    y = cat(x, F(x))               DenseNet, 2016
    Gate      y = x * F(x)                   SENet, 2017

The others are for what does not fit these, or fits them under other names than published weights have:

    Taps           y, and heads aside in training        GoogLeNet, 2014
    Paths, Sum     branches that fork, in one list       Inception v3, 2015; Xception, 2016
    ResidualPaths  y = last(paths(x) + shortcut(x))      Inception-ResNet, 2016
    Preactivated   a first step for both paths           ResNet v2, 2016
    Stochastic     F left out of some training steps     stochastic depth, 2016
    Graph          any earlier values, by name           NASNet, 2017
    Split          a share of the channels each          ShuffleNet v2, 2018

Steps are given by keyword, so each has a name: the name is the key of its weights, of its activation in `look`, and
of its box on the page. Steps that a paper only counts (the blocks of a stage) are given by position: "0", "1", ...

The declared order is data: `named_children()` of a wiring lists its steps in the order in which they run, and a step
that is assigned anew (`model.fc = nn.Linear(64, 5)`) keeps its place.
"""

from collections.abc import Callable
from typing import Any

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
            locate(error, name, modules[name], x, given)
            raise
        return x

    def _run(self, name: str, x: Tensor) -> Tensor:
        """One step by its name, for the wirings that are not one after the other."""
        try:
            y: Tensor = self._modules[name](x)
        except Exception as error:
            locate(error, name, self._modules[name], x, x)
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


def locate(error: Exception, name: str, step: nn.Module, x: Tensor, given: Tensor) -> None:
    """Add to the error at which step it happened; raise a Misfit in its place if the step can't take such an x."""
    if isinstance(error, Misfit):
        error.leave(name, tuple(given.shape))
    elif why := reason(step, x):
        raise Misfit(name, why, tuple(given.shape)) from error
    else:
        error.add_note(f"in step {name}, which was given {tuple(x.shape)}")


Path = dict[str, nn.Module] | tuple["Path", ...]  # steps in a row; or steps in a row and the paths that fork there


class Paths(Chain):
    """y = cat(f2(f1(x)), g(x), ...) over channels, then the named steps: branches whose steps have one list of names.

    A path is a dictionary of steps that run one after the other; an empty one is x itself. A path that forks is a
    tuple: what all have in common, then the paths that go on from there.

    >>> net = Paths(dict(a=nn.Identity()), (dict(b=nn.ReLU()), dict(b1=nn.Tanh()), dict(b2=nn.Sigmoid())))
    >>> net(torch.zeros(1, 2, 3, 3)).shape, net.order
    (torch.Size([1, 6, 3, 3]), ('a', 'b', 'b1', 'b2'))
    """

    def __init__(self, *paths: Path, **then: nn.Module) -> None:
        steps: dict[str, nn.Module] = {}
        reads: dict[str, str] = {}
        ends = [end for path in paths for end in _lay(path, "", steps, reads)]
        if shared := steps.keys() & then.keys():
            raise ValueError(f"two steps are called {', '.join(sorted(shared))}")
        super().__init__(**steps, **then)
        self.reads, self.ends, self.then = reads, tuple(ends), tuple(then)

    def forward(self, x: Tensor) -> Tensor:
        made = {"": x}
        for name, source in self.reads.items():
            made[name] = self._run(name, made[source])
        y = self.join([made[end] for end in self.ends])
        for name in self.then:
            y = self._run(name, y)
        return y

    def join(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=1)


class Sum(Paths):
    """y = f(x) + g(x) + ..., then the named steps; paths as in `Paths`."""

    def join(self, parts: list[Tensor]) -> Tensor:
        y = parts[0]
        for part in parts[1:]:
            y = y + part
        return y


class ResidualPaths(Residual, Paths):
    """y = last(F(x) + shortcut(x)), F being paths: ResidualPaths(shortcut, last, path, path, ..., step=...)."""

    def __init__(self, shortcut: nn.Module, last: nn.Module, *paths: Path, **then: nn.Module) -> None:
        super().__init__(shortcut, last, *paths, **then)  # type: ignore[arg-type]  # Residual hands them on to Paths


def _lay(path: Path, source: str, steps: dict[str, nn.Module], reads: dict[str, str]) -> list[str]:
    """Enter the steps of a path that begins at the source; the names of those it ends with."""
    if isinstance(path, tuple):
        (trunk,) = _lay(path[0], source, steps, reads)
        return [end for fork in path[1:] for end in _lay(fork, trunk, steps, reads)]
    for name, step in path.items():
        if name in steps:
            raise ValueError(f"two steps are called {name}")
        steps[name], reads[name], source = step, source, name
    return [source]


class Taps(Chain):
    """A chain with heads aside: y, and in training also what these make of the chain up to where they stand.

    `aside` says which steps are heads, and in which field of `outputs` each one's logits go; the field of y is
    `logits`. In evaluation the heads do not run and y is given alone. `outputs.share`, where a network is trained by
    recipe, is the weight of each head's loss beside that of y.

    >>> from collections import namedtuple
    >>> Two = namedtuple("Two", "logits aux_logits")
    >>> net = Taps(Two, {"early": "aux_logits"}, f=nn.ReLU(), early=nn.Tanh(), g=nn.Sigmoid())
    >>> type(net.train()(torch.zeros(1))).__name__, type(net.eval()(torch.zeros(1))).__name__
    ('Two', 'Tensor')
    """

    def __init__(self, outputs: Callable[..., tuple[Tensor, ...]], aside: dict[str, str], **named: nn.Module) -> None:
        super().__init__(**named)
        if absent := aside.keys() - named.keys():
            raise ValueError(f"no step is called {', '.join(sorted(absent))}")
        self.outputs, self.aside = outputs, dict(aside)

    def forward(self, x: Tensor) -> Any:  # the outputs in training, else a Tensor
        modules, given, name, heads = self._modules, x, "", {}
        try:
            for name in self.order:
                if name not in self.aside:
                    x = modules[name](x)
                elif self.training:
                    heads[self.aside[name]] = modules[name](x)
        except Exception as error:
            locate(error, name, modules[name], x, given)
            raise
        return self.outputs(logits=x, **heads) if self.training else x


class Split(Chain):
    """y = last(cat(f(x1), g(x2), ...)): the channels of x are dealt out in equal shares, one a step.

    >>> halves = Split(nn.ChannelShuffle(2), same=nn.Identity(), negative=nn.Softmin(dim=1))
    >>> halves(torch.tensor([1.0, 2.0, 0.0, 0.0]).view(1, 4, 1, 1)).flatten().tolist()
    [1.0, 0.5, 2.0, 0.5]
    """

    def __init__(self, last: nn.Module, *numbered: nn.Module, **named: nn.Module) -> None:
        super().__init__(*numbered, **named)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        shares = x.chunk(len(self.order), dim=1)
        parts = [self._run(name, share) for name, share in zip(self.order, shares, strict=True)]
        return self._run("last", torch.cat(parts, dim=1))


class Preactivated(Residual):
    """y = last(F(a) + shortcut(a)), a being what the first `shared` steps make of x: both paths begin behind them.

    >>> net = Preactivated(nn.Conv2d(1, 4, 1), nn.Identity(), shared=1, relu=nn.ReLU(), conv=nn.Conv2d(1, 4, 1))
    >>> [name for name, _ in net.named_children()]
    ['relu', 'conv', 'downsample', 'last']
    """

    def __init__(self, shortcut: nn.Module, last: nn.Module, *, shared: int, **named: nn.Module) -> None:
        super().__init__(shortcut, last, **named)
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order[: self.shared]:
            x = self._run(name, x)
        y = x
        for name in self.order[self.shared :]:
            y = self._run(name, y)
        return self._run("last", y + self._run("downsample", x))


class Stochastic(Residual):
    """A residual block whose F is left out of some training steps: y = last(b·F(x) + shortcut(x)).

    In training b is drawn once a batch, 1 with the probability `survival` and else 0: then F does not run at all. In
    evaluation b is its expectation. The draw is torch's on the CPU (`torch.manual_seed`), whatever the device of x.

    Source: Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382, equations 2 and 5.
    Differs: torchvision's and timm's form draws for each image, and divides by the probability in training.
    """

    def __init__(self, block: Residual, survival: float) -> None:
        if type(block) not in (Residual, Preactivated):
            raise TypeError(f"only a Residual or a Preactivated can be left out, not a {type(block).__name__}")
        steps = dict(block.named_children())
        shortcut, last = steps.pop("downsample"), steps.pop("last")
        Chain.__init__(self, **steps)  # the numbered steps have names by now
        self.downsample, self.last = shortcut, last
        self.shared = block.shared if isinstance(block, Preactivated) else 0
        self.survival = survival

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order[: self.shared]:
            x = self._run(name, x)
        if self.training and torch.rand(()).item() >= self.survival:
            return self._run("last", self._run("downsample", x))
        y = x
        for name in self.order[self.shared :]:
            y = self._run(name, y)
        if not self.training:
            y = self.survival * y
        return self._run("last", y + self._run("downsample", x))

    def extra_repr(self) -> str:
        return f"survival={self.survival:.4g}"


class Graph(Chain):
    """Steps that read any earlier values by name, each given as (step, *names); y is the last one's value.

    The general case, for cells that read two earlier states. The names of what the graph itself is given come first.

    >>> net = Graph("x", "before", relu=(nn.ReLU(), "x"), y=(Concat(), "relu", "before"))
    >>> net(torch.zeros(1, 2, 3, 3), torch.zeros(1, 4, 3, 3)).shape
    torch.Size([1, 6, 3, 3])
    """

    def __init__(self, *inputs: str, **steps: tuple[Any, ...]) -> None:
        known = set(inputs)
        for name, (_, *sources) in steps.items():
            if unknown := set(sources) - known:
                raise ValueError(f"step {name} reads {', '.join(sorted(unknown))}, which no earlier step makes")
            known.add(name)
        super().__init__(**{name: step for name, (step, *_) in steps.items()})
        self.inputs = inputs
        self.sources: dict[str, tuple[str, ...]] = {name: tuple(sources) for name, (_, *sources) in steps.items()}
        readers = {source: name for name, sources in self.sources.items() for source in sources}  # the last of each
        self.read = {name: [s for s in self.sources[name] if readers[s] == name] for name in steps}

    def forward(self, *given: Tensor) -> Tensor:
        made = dict(zip(self.inputs, given, strict=True))
        for name, sources in self.sources.items():
            values = [made[source] for source in sources]
            try:
                made[name] = self._modules[name](*values)
            except Exception as error:
                locate(error, name, self._modules[name], values[0], given[0])
                raise
            for source in self.read[name]:
                made.pop(source, None)  # nothing reads it any more
        return made[self.order[-1]]


class Add(nn.Module):
    """y = a + b + ..., a step of a `Graph`."""

    def forward(self, *values: Tensor) -> Tensor:
        y = values[0]
        for value in values[1:]:
            y = y + value
        return y


class Concat(nn.Module):
    """y = cat(a, b, ...) over channels, a step of a `Graph`."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, dim=1)


class Share(nn.Module):
    """y = the i-th of n equal shares of the channels: what `Concat` has put together, a step of a `Graph`.

    >>> Share(1, 2)(torch.arange(4.0).view(1, 4, 1, 1)).flatten().tolist()
    [2.0, 3.0]
    """

    def __init__(self, i: int, n: int) -> None:
        super().__init__()
        self.i, self.n = i, n

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(self.n, dim=1)[self.i]

    def extra_repr(self) -> str:
        return f"{self.i} of {self.n}"
