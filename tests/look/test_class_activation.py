"""CAM and its successors against their formulas written as loops, against planted evidence, and without a trace."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.explain.at_layer import Evidence
from striate.look.explain.class_activation import cam, gradcam_plus_plus, layer_cam, score_cam
from striate.look.explain.gradcam import gradcam
from striate.look.explain.localise import enlarged, iou, locate, points_into
from striate.look.explain.methods import CLASS_ACTIVATION
from striate.look.explain.score import NOT_FINITE, PROBABILITIES
from tests.look.planted import CLASSES, planted

Maps = Callable[..., Evidence]


def small(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, padding=1), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, classes),
    ).double()  # fmt: skip


def halves(model: nn.Sequential, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """What layer 3 puts out for one image, and the gradient of logit k in it, (channels, h, w)."""
    a = model[:4](x[None].clone()).detach().requires_grad_()
    (g,) = torch.autograd.grad(model[4:](a)[0, k], a)
    return a.detach()[0], g[0]


def scaled(m: Tensor) -> Tensor:
    m = m.clamp(min=0)
    return m / m.max() if m.max() > 0 else m


def cam_by_loops(model: nn.Sequential, x: Tensor, k: int) -> Tensor:
    a, _ = halves(model, x, k)
    return sum((model[6].weight[k, c].detach() * a[c] for c in range(len(a))), torch.zeros_like(a[0]))


def plus_plus_by_loops(model: nn.Sequential, x: Tensor, k: int) -> Tensor:
    a, g = halves(model, x, k)
    out = torch.zeros_like(a[0])
    for c in range(len(a)):
        weight = 0.0
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                d = g[c, i, j].item()
                below = 2 * d**2 + a[c].sum().item() * d**3
                weight += (d**2 / below if below else 0.0) * max(d, 0.0)
        out += weight * a[c]
    return out


def layer_by_loops(model: nn.Sequential, x: Tensor, k: int) -> Tensor:
    a, g = halves(model, x, k)
    return torch.stack([torch.where(g[c] > 0, g[c] * a[c], 0.0) for c in range(len(a))]).sum(0)


def score_by_loops(model: nn.Sequential, x: Tensor, k: int) -> Tensor:
    a, _ = halves(model, x, k)
    with torch.no_grad():
        gains = []
        for c in range(len(a)):
            mask = nn.functional.interpolate(a[c][None, None], size=x.shape[1:], mode="bilinear")[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            gains.append((model((x * mask)[None])[0, k] - model(torch.zeros_like(x)[None])[0, k]).item())
    weights = [math.exp(gain) / sum(math.exp(other) for other in gains) for gain in gains]
    return sum((w * m for w, m in zip(weights, a, strict=True)), torch.zeros_like(a[0]))


FORMULAS = [
    (cam, cam_by_loops),
    (gradcam_plus_plus, plus_plus_by_loops),
    (layer_cam, layer_by_loops),
    (score_cam, score_by_loops),
]


@pytest.mark.parametrize(("method", "formula"), FORMULAS, ids=lambda f: f.__name__)
def test_equals_its_formula_written_as_loops(method: Maps, formula: Callable[..., Tensor]) -> None:
    model, x, target = small(), torch.randn(4, 2, 7, 6).double(), torch.tensor([0, 2, 1, 1])
    got = method(model, x, 3, layer="3", target=target)
    want = torch.stack([scaled(formula(model, one, k)) for one, k in zip(x, target.tolist(), strict=True)])
    torch.testing.assert_close(got.maps, want, rtol=1e-9, atol=1e-11)
    assert got.nothing_positive.tolist() == (want.amax(dim=(1, 2)) == 0).tolist()
    assert got.layer == "3"


def test_cam_and_gradcam_agree_where_a_linear_layer_reads_the_means() -> None:
    model, x = small(), torch.randn(5, 2, 7, 6).double()
    torch.testing.assert_close(cam(model, x, 3).maps, gradcam(model, x, 3).maps, rtol=1e-9, atol=1e-12)


def test_cam_knows_one_logit_for_two_classes_and_maps_that_are_the_classes() -> None:
    one, x = small(1), torch.randn(4, 2, 7, 6).double()
    target = torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(cam(one, x, 2, target=target).maps, gradcam(one, x, 2, target=target).maps)
    mapped = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    got = cam(mapped, x, 3, target=torch.tensor([0, 1, 2, 0]))
    torch.testing.assert_close(got.maps[1], scaled(mapped[:2](x[1:2])[0, 1].detach()))


def test_cam_is_refused_where_it_has_no_weights_to_read() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    with pytest.raises(ShapeError, match=r"no linear function of the means of what '1' puts out.*gradcam"):
        cam(model, torch.randn(2, 1, 8, 8), 3)


def test_score_cam_gives_a_flat_map_no_weight_and_no_pass() -> None:
    model, x = small(), torch.randn(1, 2, 7, 6).double()
    with torch.no_grad():
        model[2].weight[1:] = 0  # four of the five maps are the same everywhere
    calls = []
    handle = model.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    score_cam(model, x, 3, layer="3")
    handle.remove()
    assert calls == [1, 1, 1]  # the image, the empty one, and the one that is seen through the first map


@pytest.mark.parametrize("method", CLASS_ACTIVATION.values(), ids=CLASS_ACTIVATION)
def test_evidence_of_the_planted_patch_is_found_in_the_patch(method: Maps, reader: nn.Sequential) -> None:
    x, y, boxes = planted(100, seed=1)
    found = method(reader, x, CLASSES, target=y)
    maps = enlarged(found.maps, (32, 32)).numpy()
    hits = sum(points_into(one, box) for one, box in zip(maps, boxes, strict=True))
    places = [locate(one) for one in maps]
    overlap = float(np.mean([iou(place.box, box) if place else 0.0 for place, box in zip(places, boxes, strict=True)]))
    print(f"\n{method.__name__}: {hits} of {len(y)} in the patch, mean IoU {overlap:.2f}")
    assert hits >= (0.95 if method is gradcam else 0.85) * len(y)
    assert overlap > 0.5


def test_nothing_positive_is_said_by_every_method() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.fill_(-1)
        model[0].bias.zero_()
    for name, method in CLASS_ACTIVATION.items():  # no map holds anything but zeros
        found = method(model, torch.rand(2, 1, 8, 8) + 0.1, 2, layer="1")
        assert found.nothing_positive.tolist() == [True, True], name
        assert found.maps.abs().sum() == 0


def test_the_score_is_the_logit_also_where_the_network_ends_in_a_softmax() -> None:
    plain, x = small(), torch.randn(3, 2, 7, 6).double()
    for end in (nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        ended = nn.Sequential(*copy.deepcopy(list(plain)), end)
        want, got = gradcam(plain, x, 3), gradcam(ended, x, 3)
        torch.testing.assert_close(got.maps, want.maps, rtol=0, atol=0)
        assert got.notes == want.notes == ()


def test_a_softmax_that_is_no_layer_is_noted() -> None:
    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).softmax(1)

    assert gradcam(Ends(), torch.randn(2, 2, 7, 6).double(), 3).notes == (PROBABILITIES,)


def test_logits_that_are_not_finite_are_noted() -> None:
    model = small()
    with torch.no_grad():
        model[6].bias[1] = float("inf")
    assert gradcam(model, torch.randn(2, 2, 7, 6).double(), 3).notes == (NOT_FINITE,)


@pytest.mark.parametrize("method", CLASS_ACTIVATION.values(), ids=CLASS_ACTIVATION)
def test_the_model_is_as_it_was_also_after_errors(method: Maps) -> None:
    model, x = small().train(), torch.randn(3, 2, 7, 6).double()
    model[0].requires_grad_(False)
    model(x.clone()).sum().backward()
    before = state_of(model)
    method(model, x, 3)
    with pytest.raises(UnknownName, match="no layer 'nowhere'"):
        method(model, x, 3, layer="nowhere")
    with pytest.raises(UsageError, match="class 3; the network has 3 classes, 0 to 2"):
        method(model, x, 3, target=torch.tensor([0, 1, 3]))
    with pytest.raises(ShapeError, match="one class for each of 3 images"):
        method(model, x, 3, target=torch.tensor([0]))
    assert state_of(model) == before


def state_of(model: nn.Module) -> list[object]:
    """All that a look may not change, so that two of them can be compared."""
    return [
        *(part.training for part in model.modules()),
        *(
            (p.requires_grad, p.detach().tolist(), None if p.grad is None else p.grad.tolist())
            for p in model.parameters()
        ),
        *(b.tolist() for b in model.buffers()),
        *(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()),
    ]
