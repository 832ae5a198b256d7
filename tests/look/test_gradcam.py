"""Grad-CAM against a computation of its own, against planted evidence, and without a trace left behind."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName
from striate.look.explain.gradcam import Evidence, gradcam, last_spatial_layer


def small(classes: int = 3, *, inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes),
    ).double()  # fmt: skip


def from_scratch(model: nn.Sequential, upto: int, x: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The definition, with the two halves of the chain run apart and every sum a loop."""
    model = copy.deepcopy(model).eval()
    a = model[: upto + 1](x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(model[upto + 1 :](a)).sum(), a)
    n, k, h, w = a.shape
    maps = torch.zeros(n, h, w, dtype=a.dtype)
    for i in range(n):
        for c in range(k):
            maps[i] += gradient[i, c].sum() / (h * w) * a[i, c].detach()
        maps[i] = maps[i].clamp(min=0)
        if maps[i].max() > 0:
            maps[i] /= maps[i].max()
    return maps


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), inplace=st.booleans(), layer=st.sampled_from([0, 2, 4, 5]))
def test_equals_the_definition_computed_from_scratch(seed: int, inplace: bool, layer: int) -> None:
    torch.manual_seed(seed)
    model, x, target = small(inplace=inplace), torch.randn(3, 1, 8, 8).double(), torch.tensor([0, 2, 1])
    plain = small()
    plain.load_state_dict(model.state_dict())
    got = gradcam(model, x, 3, layer=str(layer), target=target)
    want = from_scratch(plain, layer, x, lambda z: z.gather(1, target[:, None]))
    torch.testing.assert_close(got.maps, want, rtol=1e-10, atol=1e-12)
    assert got.nothing_positive.tolist() == (want.amax(dim=(1, 2)) == 0).tolist()


def test_without_a_target_the_predicted_class_is_explained() -> None:
    torch.manual_seed(0)
    model, x = small(), torch.randn(5, 1, 8, 8).double()
    got = gradcam(model, x, 3)
    assert got.target.tolist() == copy.deepcopy(model).eval()(x).argmax(1).tolist()
    torch.testing.assert_close(got.maps, gradcam(model, x, 3, target=got.target).maps, rtol=0, atol=0)


def test_one_logit_speaks_for_one_class_and_its_negative_for_the_other() -> None:
    torch.manual_seed(1)
    model, x = small(1), torch.randn(4, 1, 8, 8).double()
    ones, zeros = torch.ones(4), torch.zeros(4)
    torch.testing.assert_close(
        gradcam(model, x, 2, layer="5", target=ones).maps,
        from_scratch(model, 5, x, lambda z: z),
        rtol=1e-10,
        atol=1e-12,
    )
    torch.testing.assert_close(
        gradcam(model, x, 2, layer="5", target=zeros).maps,
        from_scratch(model, 5, x, lambda z: -z),
        rtol=1e-10,
        atol=1e-12,
    )
    assert gradcam(model, x, 2).target.tolist() == (copy.deepcopy(model).eval()(x)[:, 0] > 0).long().tolist()


def corner_reader() -> nn.Sequential:
    """Class 1 is, by construction, how bright the upper left quarter is; class 0 how bright the lower right one is."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 64, 2, bias=False))
    mask = torch.zeros(2, 2, 8, 8)
    mask[1, 1, :4, :4] = 1
    mask[0, 0, 4:, 4:] = 1
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[3].weight.copy_(mask.flatten(1))
    return model


def test_evidence_planted_in_one_corner_is_found_in_that_corner() -> None:
    model, x = corner_reader(), torch.zeros(2, 1, 8, 8)
    x[0, 0, 1:3, 1:3] = 1  # bright where class 1 looks
    x[1, 0, 5:7, 5:7] = 1  # bright where class 0 looks
    got = gradcam(model, x, 2)
    assert got.target.tolist() == [1, 0]
    assert got.layer == "1"
    assert [divmod(int(m.argmax()), 8) for m in got.maps] == [(1, 1), (5, 5)]
    torch.testing.assert_close(got.maps, x[:, 0])


def test_an_image_without_positive_evidence_says_so() -> None:
    model = corner_reader()
    with torch.no_grad():
        model[3].weight.neg_()
    got = gradcam(model, torch.rand(2, 1, 8, 8), 2, target=torch.tensor([0, 1]))
    assert got.nothing_positive.tolist() == [True, True]
    assert got.maps.abs().sum() == 0


def state(model: nn.Module) -> dict[str, object]:
    return {
        "modes": [part.training for part in model.modules()],
        "asks": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "values": [t.clone() for t in model.state_dict().values()],
        "hooks": [len(p._forward_hooks) + len(p._forward_pre_hooks) + len(p._backward_hooks) for p in model.modules()],
    }


def assert_same_state(before: dict[str, object], after: dict[str, object]) -> None:
    assert {k: before[k] for k in ("modes", "asks", "hooks")} == {k: after[k] for k in ("modes", "asks", "hooks")}
    for kind in ("grads", "values"):
        for old, new in zip(before[kind], after[kind], strict=True):  # type: ignore[call-overload]
            assert (old is None and new is None) or torch.equal(old, new)


def test_the_model_is_left_exactly_as_it_was() -> None:
    model, x = small(), torch.randn(4, 1, 8, 8).double()
    model.train()
    model[1].eval()  # frozen normalisation inside a training network
    model[0].requires_grad_(False)
    model(x).sum().backward()  # some gradients are there, some are None
    before = state(model)
    gradcam(model, x, 3)
    assert_same_state(before, state(model))
    assert not x.requires_grad


def test_frozen_parameters_no_grad_and_inference_mode_give_the_same_maps() -> None:
    torch.manual_seed(2)
    model, x = small(inplace=True), torch.randn(3, 1, 8, 8).double()
    want = gradcam(model, x, 3).maps
    model.requires_grad_(False)
    torch.testing.assert_close(gradcam(model, x, 3).maps, want, rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(gradcam(model, x, 3).maps, want, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(gradcam(model, x + 0, 3).maps, want, rtol=0, atol=0)


@pytest.mark.parametrize("layer", ["8", "nowhere", ""])
def test_after_an_error_the_model_is_as_it_was(layer: str) -> None:
    model, x = small().train(), torch.randn(2, 1, 8, 8).double()
    before = state(model)
    with pytest.raises((ShapeError, UnknownName)):
        gradcam(model, x, 3, layer=layer)
    with pytest.raises(RuntimeError):
        gradcam(model, torch.randn(2, 5, 8, 8).double(), 3)
    with pytest.raises(ShapeError, match=r"expected logits \(2, 7\)"):
        gradcam(model, x, 7)
    assert_same_state(before, state(model))


def test_a_layer_that_did_not_run_or_does_not_matter_is_refused() -> None:
    class Idle(nn.Module):
        def __init__(self, run: bool) -> None:
            super().__init__()
            self.used, self.idle, self.run = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3), run

        def forward(self, x: Tensor) -> Tensor:
            if self.run:
                self.idle(x)
            return self.used(x).mean(dim=(2, 3))

    x = torch.randn(1, 1, 8, 8)
    with pytest.raises(ShapeError, match="did not run"):
        gradcam(Idle(run=False), x, 2, layer="idle")
    with pytest.raises(ShapeError, match="does not depend on layer 'idle'"):
        gradcam(Idle(run=True), x, 2, layer="idle")


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu, self.conv2 = (
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x))) + x)


def test_the_layer_found_is_the_last_one_with_a_map() -> None:
    x = torch.zeros(1, 1, 16, 16)
    vgg = nn.Sequential()
    vgg.add_module("features", nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)))
    vgg.add_module("avgpool", nn.AdaptiveAvgPool2d(4))
    vgg.add_module("dropout", nn.Dropout())
    vgg.add_module("flatten", nn.Flatten())
    vgg.add_module("fc", nn.Linear(64, 3))
    assert last_spatial_layer(vgg, x) == "features.1"

    resnet = nn.Sequential()
    resnet.add_module("stem", nn.Conv2d(1, 4, 3))
    resnet.add_module("layer4", nn.Sequential(Residual(), Residual()))
    resnet.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    resnet.add_module("squeezed", nn.Conv2d(4, 8, 1))  # after global pooling: MobileNetV3's trap
    resnet.add_module("flatten", nn.Flatten())
    assert last_spatial_layer(resnet, x) == "layer4"

    class Concatenates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], 1)

    inception = nn.Sequential()
    inception.add_module("mixed", Concatenates())
    inception.add_module("drop", nn.Dropout2d())
    inception.add_module("pool", nn.AdaptiveAvgPool2d(1))
    inception.add_module("flat", nn.Flatten())
    assert last_spatial_layer(inception, x) == "mixed"


def test_a_sum_that_only_an_identity_hands_on_is_a_place_to_look_at() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x + self.conv(x))

    net = nn.Sequential(nn.Conv2d(1, 4, 3), Adds(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert last_spatial_layer(net, torch.zeros(1, 1, 8, 8)) == "1"


def test_a_network_without_maps_says_that_there_is_no_place_to_point_at() -> None:
    with pytest.raises(ShapeError, match="no place to point at"):
        last_spatial_layer(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_maps_on_cuda_equal_those_on_the_cpu() -> None:
    torch.manual_seed(3)
    model, x = small(), torch.randn(4, 1, 8, 8).double()
    want = gradcam(model, x, 3)
    got = gradcam(model.cuda(), x, 3)  # the images are brought to the weights
    assert got.layer == want.layer
    torch.testing.assert_close(got.maps.cpu(), want.maps, rtol=1e-6, atol=1e-8)


@pytest.mark.oracle
def test_equals_captum() -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install --no-deps captum")
    for seed in range(10):
        torch.manual_seed(seed)
        model, x = small().eval(), torch.randn(4, 1, 8, 8).double()
        got: Evidence = gradcam(model, x, 3, layer="5")
        theirs = (
            attr.LayerGradCam(model, model[5]).attribute(x, target=got.target, relu_attributions=True)[:, 0].detach()
        )
        top = theirs.amax(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(got.maps, theirs / top.clamp_min(1e-300), rtol=1e-9, atol=1e-12)
        assert got.nothing_positive.tolist() == (top.flatten() == 0).tolist()
