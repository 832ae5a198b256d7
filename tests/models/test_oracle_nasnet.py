"""NASNet-A against timm: the same names, and from the same weights the same logits.

Needs `pip install --no-deps torchvision==0.28.0 timm==1.0.31`; no compiled operators are used. timm has the large
network only; the mobile one is put together here, of timm's cells.
"""

import importlib
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.models.registry import create_model

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def timm() -> ModuleType:
    if not {"torchvision", "timm"} & sys.modules.keys():
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    pytest.importorskip("timm", reason="needs timm and torchvision, without their dependencies")
    return importlib.import_module("timm.models.nasnet")


def randomise(model: nn.Module) -> None:
    """Norms that have seen something, and weights with which values stay of the order of one."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.uniform_(-0.5, 0.5, generator=generator)
                if "bias" not in name and "mean" not in name:
                    tensor.add_(1)
            elif tensor.is_floating_point():
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)


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


@pytest.mark.parametrize(("height", "width"), [(33, 42), (64, 97)])
@pytest.mark.parametrize("name", ["nasnet_a_mobile", "nasnet_a_large"])
def test_published_names_load_and_give_the_same_logits(timm: ModuleType, name: str, height: int, width: int) -> None:
    theirs = (Mobile(timm) if name == "nasnet_a_mobile" else timm.nasnetalarge(pretrained=False)).eval()
    ours = create_model(name).eval()
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std() > 0.01 * expected.abs().max() > 0
        found = (ours(x) - expected).abs().max() / expected.abs().max()
    print(f"relative difference {found:.1e}")
    assert found < 1e-5
