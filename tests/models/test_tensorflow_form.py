"""The forms that weights trained in TensorFlow need: the same weights, other padding, pooling and constants.

Against Keras 3.15.1 on TensorFlow 2.21 (2026-11-21): random weights copied by name, statistics of a batch, four images
of noise. The largest difference of a logit as a share of the largest logit, and in brackets that of the form that is
not TensorFlow's: Xception at 96 pixels 2.3e-6 (1,816), Inception v3 at 96 pixels 8.6e-6 (0.60), NASNet-A mobile at 224
pixels 1.2e-6 (0.011).
"""

from inspect import signature

import pytest
import torch
from torch import nn

from striate.blocks.same import SameConv2d, SameMaxPool2d
from striate.errors import UsageError
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

FORMS = ["mobilenet_v1_0.25_128", "mobilenet_v2_0.35", "efficientnet_b0", "xception", "inception_v3", "nasnet_a_mobile"]


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def test_every_member_of_these_families_has_the_form_and_no_other_model() -> None:
    families = ("mobilenet_v1*", "mobilenet_v2*", "efficientnet*", "xception", "inception_v3", "nasnet_a*")
    has = {name for family in families for name in list_models(family)}
    assert {name for name in list_models() if "tensorflow" in signature(entry(name).build).parameters} == has
    with pytest.raises(UsageError, match="resnet18 has no option 'tensorflow'; its options are survival"):
        create_model("resnet18", tensorflow=True)


@pytest.mark.parametrize("name", [*FORMS[:3], *(pytest.param(name, marks=pytest.mark.slow) for name in FORMS[3:])])
def test_the_form_has_the_same_weights_and_gives_other_logits(name: str) -> None:
    torch.manual_seed(0)
    plain, form = create_model(name), create_model(name, tensorflow=True).eval()
    assert shapes(form) == shapes(plain)
    side = max(64, entry(name).smallest)
    x = torch.randn(4, 3, side, side)
    for layer in plain.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        plain.train()(x)  # for without statistics little of an image arrives at the head
        form.load_state_dict(plain.state_dict())
        y, z = plain.eval()(x), form(x)
    assert y.shape == z.shape
    assert (y - z).abs().max() > 1e-3 * y.abs().max()


@pytest.mark.parametrize("name", FORMS)
def test_norms_have_tensorflows_constant(name: str) -> None:
    with without_numbers():
        form = create_model(name, tensorflow=True)
    assert {layer.eps for layer in form.modules() if isinstance(layer, nn.BatchNorm2d)} == {1e-3}


@pytest.mark.parametrize("name", [name for name in FORMS if name not in ("inception_v3", "xception")])
def test_every_window_that_strides_begins_where_tensorflow_lets_it(name: str) -> None:
    with without_numbers():
        form = create_model(name, tensorflow=True)
    strided = [layer for layer in form.modules() if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1)]
    unpadded = [form.get_submodule("conv0.conv")] if name == "nasnet_a_mobile" else []
    assert strided
    assert all(isinstance(layer, SameConv2d) or layer in unpadded for layer in strided)


def test_padding_of_zeros_can_be_the_largest() -> None:
    pool, x = SameMaxPool2d(3, 2), torch.full((1, 1, 4, 4), -1.0)
    assert pool(x).flatten().tolist() == [-1.0] * 4
    pool.padded_with = 0.0
    assert pool(x).flatten().tolist() == [-1.0, 0.0, 0.0, 0.0]  # one row and one column, at the far end
