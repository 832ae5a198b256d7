"""Kernels as pictures."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.filters.kernels import SMALL, ZERO, kernels
from striate.look.filters.picture import kernel_sheet
from striate.look.png import picture_png
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers


def test_a_weight_becomes_a_pixel_by_the_stated_formula() -> None:
    conv = nn.Conv2d(3, 2, 2)
    w = torch.tensor([0.5, -1.0, 0.25, 0.0, 1.0, -0.5, 0.75, -0.25, 0.1, 0.2, 0.3, 0.4]).view(3, 2, 2)
    conv.weight.data = torch.stack([w, 4 * w])
    found = kernels(nn.Sequential(conv))
    each, shared = found.pictures("each"), found.pictures("shared")
    assert each.shape == (2, 2, 2, 3)
    assert each[0, 0, 0].tolist() == [round(128 + 127 * 0.5), 255, round(128 + 127 * 0.1)]
    assert each[0, 0, 1].tolist() == [1, round(128 - 127 * 0.5), round(128 + 127 * 0.2)]
    assert (each[0] == each[1]).all()  # each by its own largest
    assert (shared[1] == each[1]).all()
    assert shared[0, 0, 0, 1] == round(128 + 127 / 4)


def test_what_reads_blue_first_is_shown_red_first() -> None:
    conv = nn.Conv2d(3, 1, 1, bias=False)
    conv.weight.data = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)  # blue first: for blue, against red
    net = nn.Sequential(conv)
    assert kernels(net, order="rgb").pictures()[0, 0, 0].tolist() == [255, 128, 1]
    assert kernels(net, order="bgr").pictures()[0, 0, 0].tolist() == [1, 128, 255]


def test_deeper_layers_are_gray_a_picture_for_each_input_channel() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 5, groups=2), nn.Conv2d(6, 3, 1), nn.Conv2d(3, 2, 1))
    assert kernels(net, "1").pictures().shape == (6, 2, 5, 5)
    assert kernels(net, "2").pictures().shape == (3, 6, 1, 1)
    assert not kernels(net, "3").colour  # three channels, but of maps


def test_an_empty_filter_is_gray_and_said() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3))
    net[0].weight.data[0] = 0
    net[0].weight.data[1] *= 1e-7
    found = kernels(net, order="gray")
    assert found.remarks == (ZERO, SMALL, "")
    assert (found.pictures()[0] == 128).all()


def test_the_kernels_are_a_copy() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    before = net[0].weight.detach().clone()
    kernels(net).weights[:] = 7
    assert torch.equal(net[0].weight, before)


def test_what_has_no_kernels_is_refused_with_those_that_have() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(ShapeError, match=r"'1' is a ReLU and has no kernels; convolutions: 0"):
        kernels(net, "1")
    with pytest.raises(UnknownName, match=r"no layer 'conv'.*convolutions are 0"):
        kernels(net, "conv")
    with pytest.raises(ShapeError, match="has no convolution"):
        kernels(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(UsageError, match="expected rgb, bgr or gray"):
        kernels(net, order="grb")
    with pytest.raises(UsageError, match="expected each"):
        kernels(net).pictures("all")  # type: ignore[arg-type]


@pytest.mark.parametrize("c_in", [1, 3, 70])
@pytest.mark.parametrize("c_out", [1, 5, 70])
def test_a_sheet_of_any_number_of_filters_is_drawn(c_in: int, c_out: int) -> None:
    found = kernels(nn.Sequential(nn.Conv2d(c_in, c_out, 3)), order="rgb" if c_in == 3 else "gray")
    sheet = kernel_sheet(found, contrast="shared")
    assert picture_png(sheet).startswith(b"\x89PNG")
    assert sheet.width <= 2000
    assert found._repr_png_().startswith(b"\x89PNG")


def first_kernels(name: str) -> None:
    with without_numbers():
        model = create_model(name)
    stem = entry(name).stem
    convolution = model.get_submodule(stem)
    assert isinstance(convolution, nn.Conv2d)
    convolution.weight = nn.Parameter(torch.rand(convolution.weight.shape))  # only these have numbers
    found = kernels(model, stem)
    assert found.colour == (entry(name).input[0] == 3 and convolution.groups == 1), name
    assert found.pictures().dtype == np.uint8


@pytest.mark.parametrize("name", ["lenet5", "alexnet_2gpu", "vgg16", "googlenet", "resnet50", "mobilenet_v2"])
def test_a_network_of_the_zoo_shows_the_kernels_of_its_stem(name: str) -> None:
    first_kernels(name)


@pytest.mark.slow
def test_every_network_of_the_zoo_shows_the_kernels_of_its_stem() -> None:
    for name in list_models():
        first_kernels(name)
