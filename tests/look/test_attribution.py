"""Attributions against formulas of their own; networks that work in place, use a layer twice, or hide their ReLUs."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.explain.attribution import integrated_gradients, saliency
from striate.look.explain.gradcam import gradcam
from striate.look.explain.localise import enlarged
from striate.look.explain.methods import ATTRIBUTION, CLASS_ACTIVATION, Method
from striate.look.explain.occlusion import occlusion
from striate.look.explain.rectified import NONE, deconvolution, guided_backpropagation, guided_gradcam, reconstruct
from tests.look.test_class_activation import state_of

FORMS = ("layers", "in place", "used twice", "functions", "methods", "in-place functions")


class Net(nn.Module):
    """One network, two rectifiers, written in six ways."""

    def __init__(self, form: str = "layers") -> None:
        super().__init__()
        self.form = form
        self.conv1, self.pool, self.conv2 = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, padding=1),
        )
        self.relu1, self.relu2 = nn.ReLU(inplace=form == "in place"), nn.ReLU(inplace=form == "in place")
        self.fc = nn.Linear(5 * 9, 3)

    def rectify(self, x: Tensor, which: nn.Module) -> Tensor:
        match self.form:
            case "functions":
                return functional.relu(x)
            case "methods":
                return x.relu()
            case "in-place functions":
                torch.relu_(x)
                return x
            case "used twice":
                return self.relu1(x)
        return which(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.rectify(self.conv1(x), self.relu1))
        return self.fc(self.rectify(self.conv2(x), self.relu2).flatten(1))


def net(form: str = "layers") -> Net:
    torch.manual_seed(5)
    return Net(form).double()


def images(n: int = 3) -> Tensor:
    return torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double()


def by_hand(model: Net, x: Tensor, k: int, rule: str) -> Tensor:
    """The way back of one image, layer by layer with the transposed operations."""
    with torch.no_grad():
        a1 = model.conv1(x[None])
        p, switches = functional.max_pool2d(a1.relu(), 2, return_indices=True)
        a2 = model.conv2(p)
        g = model.fc.weight[k].view(1, 5, 3, 3)
        for a, conv, unpool in ((a2, model.conv2, True), (a1, model.conv1, False)):
            g = g.relu() if rule == "deconvolution" else g.relu() * (a > 0)
            g = functional.conv_transpose2d(g, conv.weight, padding=1)
            if unpool:
                g = functional.max_unpool2d(g, switches, 2)
    return g[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rule", "method"), [("guided", guided_backpropagation), ("deconvolution", deconvolution)])
def test_the_two_rules_equal_transposed_operations_however_the_rectifiers_are_written(
    form: str, rule: str, method
) -> None:
    got = method(net(form), images(), 3, target=torch.tensor([0, 1, 2]))
    want = torch.stack([by_hand(net(), x, k, rule) for k, x in enumerate(images())])
    torch.testing.assert_close(got.values, want, rtol=1e-10, atol=1e-12)
    assert got.notes == ()
    assert not torch.allclose(got.values, saliency(net(), images(), 3, target=torch.tensor([0, 1, 2])).values)


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_and_the_gradient_are_those_of_the_plain_network(form: str) -> None:
    want = saliency(net(), images(), 3)
    got = saliency(net(form), images(), 3)
    torch.testing.assert_close(got.values, want.values, rtol=1e-12, atol=1e-14)
    assert got.target.tolist() == net()(images()).argmax(1).tolist()


def test_relu6_is_a_rectifier_with_a_ceiling() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU6(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(2))
        model[3].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    x = torch.tensor([[1.0, 7.0], [-1.0, 3.0]]).double().view(2, 2, 1, 1)
    zero = torch.tensor([0, 0])
    assert guided_backpropagation(model, x, 2, target=zero).values.flatten(1).tolist() == [[1, 0], [0, 1]]
    assert deconvolution(model, x, 2, target=zero).values.flatten(1).tolist() == [[1, 1], [1, 1]]


def test_a_network_without_rectifiers_is_told_so() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)).double()
    got = guided_backpropagation(model, images(), 3)
    assert got.notes == (NONE,)
    torch.testing.assert_close(got.values.abs(), saliency(model, images(), 3).values)


def test_saliency_is_the_slope_of_the_logit() -> None:
    model, x, step = net(), images(1), 1e-6
    got = saliency(model, x, 3, target=torch.tensor([2])).values[0]
    for at in ((0, 0, 0), (1, 3, 2), (0, 5, 5)):
        up, down = x.clone(), x.clone()
        up[0][at] += step
        down[0][at] -= step
        slope = (model(up) - model(down))[0, 2].item() / (2 * step)
        assert got[at].item() == pytest.approx(abs(slope), rel=1e-6, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), baseline=st.floats(-1, 1))
def test_integrated_gradients_add_up_to_the_change_of_the_score(seed: int, baseline: float) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(48, 3)).double()
    x, target = torch.randn(2, 2, 6, 6).double(), torch.tensor([0, 2])
    got = integrated_gradients(model, x, 3, target=target, baseline=baseline)
    with torch.no_grad():
        change = (model(x) - model(torch.full_like(x, baseline))).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(got.values.sum(dim=(1, 2, 3)), change, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(got.error, got.values.sum(dim=(1, 2, 3)) - change, rtol=0, atol=1e-12)


def test_integrated_gradients_of_a_quadratic_are_known_and_few_steps_are_noted() -> None:
    class Squares(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([(x**2).sum(dim=(1, 2, 3)), (x**12).sum(dim=(1, 2, 3))], dim=1)

    x = torch.rand(1, 2, 3, 3).double() + 0.5
    exact = integrated_gradients(Squares(), x, 2, target=torch.tensor([0]), steps=2)
    torch.testing.assert_close(exact.values, x**2)
    assert exact.notes == ()
    rough = integrated_gradients(Squares(), x, 2, target=torch.tensor([1]), steps=2)
    assert "the integral is rough: with 2 steps" in rough.notes[0]


def test_the_batch_of_the_path_changes_nothing() -> None:
    whole = integrated_gradients(net(), images(), 3, batch=64).values
    torch.testing.assert_close(integrated_gradients(net(), images(), 3, batch=7).values, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (4, 3), (6, 1)])
def test_occlusion_is_the_mean_drop_of_the_windows_that_cover_a_pixel(window: int, stride: int) -> None:
    model, x, k = net(), images(1), 1
    got = occlusion(model, x, 3, target=torch.tensor([k]), window=window, stride=stride, cover=0.3, batch=3)
    starts = [s for s in range(0, 6, stride) if s == 0 or s - stride + window < 6]
    with torch.no_grad():
        whole = model(x)[0, k]
        for i in range(6):
            for j in range(6):
                drops = []
                for top in starts:
                    for left in starts:
                        if top <= i < top + window and left <= j < left + window:
                            covered = x.clone()
                            covered[:, :, top : top + window, left : left + window] = 0.3
                            drops.append(whole - model(covered)[0, k])
                assert got.maps[0, i, j].item() == pytest.approx((sum(drops) / len(drops)).item(), rel=1e-9, abs=1e-12)


def test_occlusion_needs_no_gradient_and_the_others_say_so() -> None:
    class Rounds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.detach().sum(dim=(1, 2, 3)), x.detach().mean(dim=(1, 2, 3))], dim=1)

    assert occlusion(
        Rounds(), torch.ones(1, 1, 4, 4), 2, target=torch.tensor([0]), window=2, stride=2
    ).maps.tolist() == [[[4.0] * 4] * 4]
    with pytest.raises(ShapeError, match=r"has no gradient in its image.*occlusion needs no gradient"):
        saliency(Rounds(), torch.ones(1, 1, 4, 4), 2)


def test_senseless_windows_and_steps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"window = 7; expected 1 to 6 pixels"):
        occlusion(net(), images(), 3, window=7)
    with pytest.raises(UsageError, match=r"stride = 3; expected 1 to 2"):
        occlusion(net(), images(), 3, window=2, stride=3)
    with pytest.raises(UsageError, match=r"steps = 0"):
        integrated_gradients(net(), images(), 3, steps=0)


def test_guided_gradcam_is_the_product_of_both() -> None:
    got = guided_gradcam(net(), images(), 3, layer="relu2")
    coarse = enlarged(gradcam(net(), images(), 3, layer="relu2").maps, (6, 6))
    want = guided_backpropagation(net(), images(), 3).values * coarse[:, None]
    torch.testing.assert_close(got.values, want, rtol=1e-5, atol=1e-7)
    assert got.layer == "relu2"


@pytest.mark.parametrize("form", ["layers", "in place"])
def test_a_unit_is_reconstructed_through_switches_and_transposed_filters(form: str) -> None:
    plain, x, channel = net(), images(1), 2
    got = reconstruct(net(form), x, "relu2", channel, place=(1, 2))
    with torch.no_grad():
        a1 = plain.conv1(x)
        p, switches = functional.max_pool2d(a1.relu(), 2, return_indices=True)
        a2 = plain.conv2(p).relu()
        only = torch.zeros_like(a2)
        only[0, channel, 1, 2] = a2[0, channel, 1, 2]
        g = functional.conv_transpose2d(only, plain.conv2.weight, padding=1)
        g = functional.max_unpool2d(g, switches, 2).relu()
        want = functional.conv_transpose2d(g, plain.conv1.weight, padding=1)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    row, column = divmod(int(a2[0, channel].argmax()), 3)
    torch.testing.assert_close(
        reconstruct(net(form), x, "relu2", channel), reconstruct(net(form), x, "relu2", channel, place=(row, column))
    )


def test_a_unit_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownName, match="no layer 'relu3'; did you mean 'relu"):
        reconstruct(net(), images(), "relu3", 0)
    with pytest.raises(UsageError, match=r"no channel 5; it has 5, 0 to 4"):
        reconstruct(net(), images(), "relu2", 5)
    with pytest.raises(UsageError, match=r"no place \(3, 0\); its maps are 3 by 3"):
        reconstruct(net(), images(), "relu2", 0, place=(3, 0))
    with pytest.raises(ShapeError, match=r"'fc' puts out \(3, 3\)"):
        reconstruct(net(), images(), "fc", 0)


@pytest.mark.parametrize("name", [*CLASS_ACTIVATION, *ATTRIBUTION])
def test_every_method_leaves_the_model_as_it_was_in_any_surroundings(name: str) -> None:
    model = net("in place").train()
    if name == "cam":
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        ).double()
        model.train()
    next(model.parameters()).requires_grad_(False)
    model(images()).sum().backward()
    before, x, target = state_of(model), images(), torch.tensor([0, 1, 2])
    want = Method(name)(model, x, 3, target)
    assert state_of(model) == before
    assert not x.requires_grad
    assert torch.equal(x, images())
    assert want.shape == (3, 6, 6)
    with pytest.raises(RuntimeError):
        Method(name)(model, torch.randn(2, 7, 6, 6).double(), 3, target[:2])
    assert state_of(model) == before
    model.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(Method(name)(model, x, 3, target), want, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(Method(name)(model, x + 0, 3, target), want, rtol=0, atol=0)
    one = torch.cat([Method(name)(model, x[i : i + 1], 3, target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(one, want, rtol=1e-9, atol=1e-12)  # images do not see each other
    assert torch.isfinite(want).all()


def test_a_method_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no method is called 'gradcan'; did you mean 'gradcam'"):
        Method("gradcan")(net(), images(), 3, torch.zeros(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [*CLASS_ACTIVATION, *ATTRIBUTION])
def test_maps_on_cuda_equal_those_on_the_cpu(name: str) -> None:
    if name == "cam":
        pytest.skip("this network has no global mean")
    model, target = net("in place"), torch.tensor([0, 1, 2])
    want = Method(name)(model, images(), 3, target)
    got = Method(name)(copy.deepcopy(model).cuda(), images(), 3, target)
    torch.testing.assert_close(got.cpu(), want, rtol=1e-6, atol=1e-8)
