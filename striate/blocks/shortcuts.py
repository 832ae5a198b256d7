"""Shortcuts without weights."""

from torch import Tensor, nn
from torch.nn import functional


class PaddedShortcut(nn.Module):
    """Every second pixel of x, with channels of zeros put before and after.

    Source: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.1, option A.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.before = (c_out - c_in) // 2
        self.after = c_out - c_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, ceil(H/2), ceil(W/2))"""
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"zeros before={self.before}, after={self.after}"
