"""Batch norm by the statistics of the whole batch, whatever part of it each process has.

    n = sum_r n_r        mu = sum_r n_r mu_r / n        var = sum_r n_r (var_r + (mu_r - mu)^2) / n
    xhat = (x - mu) / sqrt(var + eps)               y = w xhat + b
    dx = w / sqrt(var + eps) (g - sum g / n - xhat sum(g xhat) / n)      dw = sum_r g xhat      db = sum_r g

The sums for dx go over all processes; those for dw and db over one's own part, since every gradient of a parameter is
summed up afterwards. Each sum over processes is taken in the order of their ranks: all of them have the same bits.

Source:  Ioffe & Szegedy 2015, arXiv:1502.03167; merging of means and deviations: Chan, Golub & LeVeque 1979.
Differs: torch.nn.SyncBatchNorm needs CUDA; this one needs nothing that all_gather does not have.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

Norm = _BatchNorm


def normalise_together(layer: Norm, x: Tensor, *, counts: bool, group: Any = None) -> Tensor:
    """Batch norm in training: x (N, C, ...) -> y (N, C, ...), and the running statistics of the layer move on.

    Where it does not count, x is normalised with the others' statistics and changes nothing.
    """
    y, mean, var, n = _Together.apply(x, layer.weight, layer.bias, layer.eps, counts, group)  # type: ignore[no-untyped-call]
    if layer.track_running_stats and layer.running_mean is not None and layer.running_var is not None:
        with torch.no_grad():
            momentum = layer.momentum
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.add_(1)
                if momentum is None:
                    momentum = 1.0 / float(layer.num_batches_tracked)
            assert momentum is not None
            layer.running_mean.lerp_(mean, momentum)
            layer.running_var.lerp_(var * (n / (n - 1).clamp_min(1)), momentum)
    result: Tensor = y
    return result


def gathered(values: Tensor, group: Any = None) -> Tensor:
    """(K,) -> (processes, K): what each of them has, in the order of their ranks."""
    rows = [torch.empty_like(values) for _ in range(dist.get_world_size(group))]
    dist.all_gather(rows, values, group=group)
    return torch.stack(rows)


class _Together(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, counts: bool, group: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        others = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        c = x.shape[1]
        var, mean = torch.var_mean(x.float(), others, correction=0)
        n = float(x.numel() // c) * counts
        rows = gathered(torch.cat([mean.new_full((1,), n), mean, var]).double(), group)
        ns, means, vars_ = rows[:, :1], rows[:, 1 : c + 1], rows[:, c + 1 :]
        total = ns.sum()
        whole = (ns * means).sum(0) / total
        spread = (ns * (vars_ + (means - whole) ** 2)).sum(0) / total
        mean, var = whole.to(mean), spread.to(mean)
        inverse = (spread + eps).rsqrt().to(mean)
        scale = inverse if weight is None else inverse * weight.float()
        shift = -mean * scale if bias is None else bias.float() - mean * scale
        y = (x.float() * scale.view(shape) + shift.view(shape)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.total, ctx.counts, ctx.group = float(total), counts, group
        ctx.mark_non_differentiable(mean, var, total)
        return y, mean, var, total.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        g = gradients[0].float()
        others = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        xhat = (x.float() - mean.view(shape)) * inverse.view(shape)
        db, dw = g.sum(others), (g * xhat).sum(others)
        sums = gathered(torch.cat([db, dw]).double(), ctx.group).sum(0) / ctx.total
        all_b, all_w = (part.to(g).view(shape) for part in sums.chunk(2))
        dx = None
        if ctx.needs_input_grad[0]:
            scale = (inverse if weight is None else inverse * weight.float()).view(shape)
            dx = ((g - all_b - xhat * all_w) * scale).to(x.dtype) if ctx.counts else torch.zeros_like(x)
        if weight is None:
            return dx, None, None, None, None, None
        return dx, dw.to(weight.dtype), db.to(weight.dtype), None, None, None


def norms(module: nn.Module) -> dict[str, Norm]:
    """The batch norms of a network, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, Norm)}
