"""Networks to be looked into, small enough to climb in milliseconds."""

import math

import torch
from torch import Tensor, nn

from striate.look.filters.canvas import Canvas

SMALL = Canvas((24, 24), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def convnet(seed: int = 0, *, norm: bool = False, in_place: bool = False, classes: int = 5) -> nn.Sequential:
    """Three convolutions, a head; in evaluation mode with statistics of its own where it has norms."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for c_in, c_out, stride in ((3, 8, 1), (8, 12, 2), (12, 16, 1)):
        layers.append(nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(c_out))
        layers.append(nn.ReLU(inplace=in_place))
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes))
    if norm:
        net.train()
        with torch.no_grad():
            for _ in range(5):
                net(torch.randn(8, 3, 24, 24))
    return net.eval()


class Residual(nn.Module):
    """A user's block: one ReLU module used twice, in place, and a sum that is added in place between two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.relu(self.conv1(x))
        y = self.conv2(kept)
        y += kept
        y = self.relu(y)
        answer: Tensor = self.fc(y.mean((2, 3)))
        return answer


def grating(angle: float, period: float = 4.0, side: int = 9) -> Tensor:
    """(side, side) of mean zero: a wave along `angle`."""
    i = torch.arange(side) - side // 2
    y, x = torch.meshgrid(i, i, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    wave = torch.cos(2 * math.pi * along / period)
    return wave - wave.mean()
