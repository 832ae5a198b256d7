"""Stochastic depth: in training, a residual block leaves out what it would add, now and then."""

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """The last step of a residual F: for each image by itself, zero with probability p, else F / (1 - p).

    In evaluation, and where p is 0, it is the identity.  (N, C, H, W) -> (N, C, H, W)

    Source: Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382, drops
    a block for the whole batch and scales in evaluation; dropping it by image and scaling in training is how Tan & Le
    (arXiv:1905.11946) have it, and has the same mean.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the probability of leaving a block out is {p}; expected 0 or more and less than 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p:.4g}"
