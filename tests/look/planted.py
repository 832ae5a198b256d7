"""Images whose class is decided by a small patch at a known place, and a network that has learnt to read it.

An image is noise with two patches of stripes in two of its quarters. The direction of the one is the class; the other,
a lure, has a direction that is in every image. Both have the same contrast.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.look.explain.localise import Box

SIDE, CLASSES, IMAGE = 12, 3, 32


def planted(n: int, seed: int) -> tuple[Tensor, Tensor, list[Box]]:
    """Images (n, 1, 32, 32), their classes (n,), and where the patch is."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, IMAGE, IMAGE, generator=g) * 0.7
    y = torch.randint(0, CLASSES, (n,), generator=g)
    quarters = torch.stack([torch.randperm(4, generator=g)[:2] for _ in range(n)])
    places = torch.stack([quarters // 2, quarters % 2], 2) * 16 + torch.randint(0, 5, (n, 2, 2), generator=g)
    phases = torch.rand(n, 2, generator=g)
    for i in range(n):
        for which, direction in ((0, int(y[i])), (1, CLASSES)):
            top, left = places[i, which].tolist()
            x[i, 0, top : top + SIDE, left : left + SIDE] = stripes(direction, phases[i, which].item())
    return x, y, [Box(top, left, SIDE, SIDE) for top, left in places[:, 0].tolist()]


def stripes(direction: int, phase: float) -> Tensor:
    """(12, 12) of -1 and 1, four pixels a period, turned by 45° times the direction."""
    i, angle = torch.arange(SIDE).float(), direction * math.pi / 4
    along = i[:, None] * math.sin(angle) + i[None] * math.cos(angle)
    return torch.sign(torch.cos(2 * math.pi * (along / 4 + phase)))


def trained(seed: int = 0) -> nn.Sequential:
    """A network that tells the classes apart, after some seconds."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES),
    )  # fmt: skip
    x, y, _ = planted(768, seed)
    optimiser = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=8 * 12)
    for _ in range(8):
        for some in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(net(x[some]), y[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()
