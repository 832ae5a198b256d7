"""The loop of the fastest roads: steps and nothing else. It keeps no checkpoints and writes no run.

Stochastic gradient descent with Nesterov's momentum; biases at a rate of their own. Every few steps the weights are
set to an average of the weights so far, which follows them ever more slowly.

Source:  Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3 and appendix A.
"""

import math
from collections.abc import Callable
from itertools import count

import torch
from torch import nn
from torch.nn import functional

from striate.data import keyed
from striate.errors import RecipeError, TrainingError
from striate.reproduce.fastest.networks import NETWORKS
from striate.reproduce.fastest.pixels import Pixels
from striate.reproduce.fastest.way import Way
from striate.training.faster import faster_layers

WHITENED_BY = 5000  # training images that decide the first filters
Tell = Callable[[int, float], None]


def build(way: Way, data: Pixels, classes: int, seed: int) -> nn.Module:
    """The network with the first weights of a seed, on the device of the images."""
    torch.manual_seed(keyed.torch_seed(seed, 0))
    images = data.shown(data.images[:WHITENED_BY], torch.float32).cpu()
    network = NETWORKS[way.network](images, classes).to(data.images.device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(network: nn.Module, data: Pixels, way: Way, seed: int, precision: torch.dtype, tell: Tell) -> None:
    """Train in place, and leave the network in evaluation mode.

    `precision` is that of products; weights and their updates are float32. `tell` hears, after each epoch, its number
    and the mean loss of its steps.

    Raises: RecipeError for a batch that is larger than the data set; TrainingError where the loss is not finite.
    """
    device, an_epoch = data.images.device, len(data) // way.batch
    if not an_epoch:
        raise RecipeError(f"a batch of {way.batch:,} is larger than the data set of {len(data):,} images")
    steps = math.ceil(way.epochs * an_epoch)
    network.train()
    optimiser = make_optimiser(network, way)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    average = Average(network)
    step = 0
    with faster_layers(network, device):
        for epoch in count():
            batches = data.epoch(epoch, way.batch, seed, shift=way.shift, mirror=way.mirror, dtype=precision)
            losses = []
            for x, y in batches:
                for group in optimiser.param_groups:
                    group["lr"] = group["highest"] * way.rate(step / steps)
                if first.bias is not None and step >= way.first_until * an_epoch:
                    first.bias.requires_grad_(False).grad = None
                optimiser.zero_grad(set_to_none=True)
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    z = network(x)
                loss = functional.cross_entropy(z.float(), y, label_smoothing=way.smoothing)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(loss.detach())
                step += 1
                if step % way.average_every == 0 and step < steps:
                    average.follow(1 - 0.95**way.average_every * (step / steps) ** 3)
                if step == steps:
                    break
            mean = float(torch.stack(losses).mean())  # the loop waits for the device once an epoch, here
            if not math.isfinite(mean):
                raise TrainingError(f"epoch {epoch + 1}: the loss is {mean}; try a lower lr")
            tell(epoch + 1, mean)
            if step == steps:
                break
    average.follow(0.0)
    network.eval()


def make_optimiser(network: nn.Module, way: Way) -> torch.optim.SGD:
    """Biases and weights in two groups; "highest" is the rate that `Way.rate` takes its share of.

    The decay is `way.decay` of each value at the highest rate, whatever that rate is.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    biases, weights = [p for p in trained if p.ndim == 1], [p for p in trained if p.ndim > 1]
    groups = [
        {"params": values, "lr": lr, "highest": lr, "weight_decay": way.decay / lr}
        for values, lr in ((biases, way.lr * way.bias_factor), (weights, way.lr))
        if values
    ]
    fused = True if any(p.device.type != "cpu" for p in trained) else None
    return torch.optim.SGD(groups, momentum=way.momentum, nesterov=way.momentum > 0, fused=fused)


class Average:
    """A moving average of all that a network learns, running statistics included, which the network is set to."""

    def __init__(self, network: nn.Module) -> None:
        self._now = [t for t in network.state_dict().values() if t.is_floating_point()]
        self._average = [t.clone() for t in self._now]

    def follow(self, share: float) -> None:
        """Go a share of the way from the average to the present values, and make these the average."""
        if share:
            torch._foreach_lerp_(self._average, self._now, share)
        torch._foreach_copy_(self._now, self._average)
