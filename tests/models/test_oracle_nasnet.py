"""The mobile NASNet-A against a network put together of timm's cells; timm itself has the large one only."""

from types import ModuleType

import pytest
from torch import Tensor, nn
from torch.nn import functional

from striate.models.registry import create_model
from tests.models.oracles import TOLERANCE, by_name, calibrate, difference, independent, patches

pytestmark = pytest.mark.oracle


class Mobile(nn.Module):
    """NASNet-A (4 @ 1056) of timm's cells."""

    def __init__(self, timm: ModuleType) -> None:
        super().__init__()
        c, self.cells = 44, []
        self.conv0 = nn.Sequential()
        self.conv0.add_module("conv", nn.Conv2d(3, 32, 3, 2, bias=False))
        self.conv0.add_module("bn", nn.BatchNorm2d(32, eps=0.001))
        self.cell_stem_0 = timm.CellStem0(32, c // 4, "same")
        self.cell_stem_1 = timm.CellStem1(32, c // 2, "same")
        width = [c, 2 * c]
        for stage in range(3):
            if stage:
                c *= 2
                kind = timm.ReductionCell0 if stage == 1 else timm.ReductionCell1
                self.add(f"reduction_cell_{stage - 1}", kind(width[-2], c, width[-1], c, "same"))
                width.append(4 * c)
            for i in range(4):
                kind, left = (timm.NormalCell, c) if i else (timm.FirstCell, c // 2)
                if stage and not i:  # reads the state that the reduction cell has read, too
                    width[-2] = 3 * c
                self.add(f"cell_{6 * stage + i}", kind(width[-2], left, width[-1], c, "same"))
                width.append(6 * c)
        self.last_linear = nn.Linear(1056, 1000)

    def add(self, name: str, cell: nn.Module) -> None:
        self.add_module(name, cell)
        self.cells.append(name)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv0(x)
        before = self.cell_stem_0(first)
        x = self.cell_stem_1(first, before)
        for name in self.cells:
            before, x = x, self.get_submodule(name)(x, before)
        return self.last_linear(functional.relu(x).mean(dim=(2, 3)))


@pytest.mark.parametrize(("height", "width"), [(65, 74), (64, 97)])
def test_published_names_load_and_give_the_same_logits(height: int, width: int) -> None:
    independent("torchvision")  # before timm, which imports it
    images, ours = patches(6, 3, height, width, seed=4), create_model("nasnet_a_mobile").eval()
    theirs = calibrate(Mobile(independent("timm.models.nasnet")), images)
    by_name(ours, theirs)
    assert difference(ours, theirs, images[:2]) < TOLERANCE
