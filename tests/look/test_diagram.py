"""Drawn networks: what stands on the boxes, that nothing is left out, and that boxes do not lie on each other."""

from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import pytest
from torch import nn

from striate.look.costs.summary import Summary, summary
from striate.look.diagrams.anatomy import anatomy
from striate.look.diagrams.diagram import diagram, diagram_of
from striate.look.diagrams.parts import Frame, Op, Part, Repeat, Web, parameters_of, words_of
from striate.look.draw import Box, Picture, Words
from striate.models.registry import list_models

FEW = ["lenet5_1998", "alexnet_2gpu", "googlenet_aux", "resnet152", "densenet121", "nasnet_a_mobile", "capsnet_mnist",
       "shufflenet_v2_x1_0", "efficientnet_b0", "inception_v3", "inception_resnet_v1", "resnet50v2", "se_resnet50",
       "xception", "squeezenet_complex_bypass"]  # fmt: skip
BOXES = {"conv", "depth", "linear", "pool", "act", "other", "join", "dashed", "badge"}


@cache
def known(name: str) -> Summary:
    return summary(name)


def parts_of(name: str) -> list[Part]:
    found = known(name)
    return list(anatomy(found.cost.skeleton, found.passed.shapes).parts)


def said(name: str) -> list[str]:
    return [word for part in parts_of(name) for word in words_of(part)]


def test_lenet5_is_drawn_as_its_table() -> None:
    assert said("lenet5") == [
        "5×5 conv, 6", "tanh", "2×2 mean pool", "tanh", "5×5 conv, 16", "tanh", "2×2 mean pool", "tanh",
        "5×5 conv, 120", "tanh", "flatten", "linear, 84", "tanh", "linear, 10",
    ]  # fmt: skip


def test_two_groups_are_drawn_as_two_towers() -> None:
    words = said("alexnet_2gpu")
    assert words[:4] == ["11×11 conv /4, 96", "ReLU", "response norm", "3×3 max pool /2"]
    assert words[4:9] == ["5×5 conv, 128", "5×5 conv, 128", "concat", "ReLU", "response norm"]
    assert said("alexnet_onetower")[4] == "5×5 conv, 256"


def test_the_stages_of_resnet152_fold() -> None:
    frames = [part for part in parts_of("resnet152") if isinstance(part, Frame)]
    assert [frame.title for frame in frames] == [
        "layer1 · 3 blocks", "layer2 · 8 blocks", "layer3 · 36 blocks", "layer4 · 3 blocks",
    ]  # fmt: skip
    assert words_of(frames[2])[-10:] == [
        "1×1 conv, 256", "batch norm", "ReLU", "3×3 conv, 256", "batch norm", "ReLU", "1×1 conv, 1024", "batch norm",
        "+", "ReLU", "×35",
    ][1:]  # fmt: skip


def test_branches_forks_and_heads_are_drawn() -> None:
    words = said("googlenet_aux")
    assert words.count("concat") == 9
    assert words.count("head aside: aux1") == 1
    assert said("squeezenet1_0").count("concat") == 6  # of 8 modules, two are drawn by their count
    assert said("shufflenet_v2_x1_0").count("shuffle") == 6
    assert said("efficientnet_b0").count("×") == 12  # gates: of 16 blocks, 4 are drawn by their count
    assert "16 side by side: some maps, 5×5 conv, 1" in said("lenet5_1998")


@pytest.mark.parametrize("name", FEW)
def test_no_parameter_is_left_out(name: str) -> None:
    found = known(name)
    drawn = sum(parameters_of(part) for part in parts_of(name))
    idle = [found.cost.skeleton.get_submodule(one) for one in found.cost.unused if not one.startswith("aux")]
    assert drawn + sum(w.numel() for layer in idle for w in layer.parameters()) == found.cost.parameters


def test_a_repeated_block_counts_each_time() -> None:
    stage = next(part for part in parts_of("resnet152") if isinstance(part, Frame) and "layer3" in part.title)
    repeat = next(part for part in stage.part.parts if isinstance(part, Repeat))
    assert repeat.names == ("layer3.1", "layer3.35")
    assert repeat.parameters == 35 * 1_117_184  # a bottleneck of 256: counted in torchvision's layer3[1]


def test_cells_are_drawn_once_each_and_placed_in_the_whole() -> None:
    found = known("nasnet_a_mobile")
    drawn = anatomy(found.cost.skeleton, found.passed.shapes)
    (web,) = drawn.parts
    assert isinstance(web, Web)
    assert [name for name, *_ in web.steps][:4] == ["conv0", "cell_stem_0", "cell_stem_1", "cell_0"]
    assert len(drawn.details) == 5
    normal = next(frame for frame in drawn.details if frame.title.startswith("cell D"))
    assert words_of(normal).count("+") == 5


def overlaps(picture: Picture) -> list[tuple[Box, Box]]:
    boxes = [mark for mark in picture.marks if isinstance(mark, Box) and mark.kind in BOXES]
    return [
        (a, b)
        for a, b in combinations(boxes, 2)
        if min(a.x + a.width, b.x + b.width) - max(a.x, b.x) > 0.5
        and min(a.y + a.height, b.y + b.height) - max(a.y, b.y) > 0.5
    ]


def sound(picture: Picture) -> None:
    assert overlaps(picture) == []
    for mark in picture.marks:
        if isinstance(mark, Box):
            assert mark.x >= -0.5
            assert mark.y >= -0.5
            assert mark.x + mark.width <= picture.width + 0.5
            assert mark.y + mark.height <= picture.height + 0.5
    root = ElementTree.fromstring(picture.svg())
    assert root.tag.endswith("svg")
    assert picture.width <= 4_000
    assert picture.height <= 4_000


@pytest.mark.parametrize("name", FEW)
def test_boxes_do_not_lie_on_each_other(name: str) -> None:
    sound(diagram(known(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if name not in FEW])
def test_every_network_can_be_drawn(name: str) -> None:
    found = summary(name)
    sound(diagram(found))
    assert anatomy(found.cost.skeleton, found.passed.shapes).notes == []


def test_a_name_or_a_module_can_be_drawn() -> None:
    assert diagram_of("lenet5").label.startswith("lenet5: a drawing")
    assert diagram_of(nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 4, 4)).width >= 460


def test_blocks_that_grow_say_that_the_first_is_drawn() -> None:
    words = [mark.words for mark in diagram(known("densenet121")).marks if isinstance(mark, Words)]
    assert "denselayer1 … denselayer6, the first drawn" in words
    assert "layer3.1 … 35" in [mark.words for mark in diagram(known("resnet152")).marks if isinstance(mark, Words)]


def test_a_module_from_elsewhere_is_drawn_as_far_as_its_wiring_is_known() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return x + self.conv(x)

    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Own())
    found = summary(net, (1, 8, 8))
    drawn = anatomy(found.cost.skeleton, found.passed.shapes)
    assert [word for part in drawn.parts for word in words_of(part)] == ["3×3 conv, 4", "ReLU", "Own"]
    assert drawn.notes == ["2: its wiring is not declared, so it is one box"]
    assert all(isinstance(part, Op) for part in drawn.parts)
    sound(diagram(found))
