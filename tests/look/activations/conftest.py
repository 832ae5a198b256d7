"""Networks of a user's, with everything that is hard to see."""

import pytest
import torch
from torch import Tensor, nn


class Stranger(nn.Module):
    """In-place and reused layers, functions in the forward pass, dropout, an inner block that adds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.pool(self.drop(x))
        x = self.relu(self.conv2(x) + x)
        x = torch.relu(x - 0.1)
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def stranger() -> nn.Module:
    torch.manual_seed(0)
    return Stranger()
