"""The same numbers as Captum 0.9, on small networks of the zoo."""

import pytest
import torch
from torch import Tensor, nn

from striate.look.explain.attribution import integrated_gradients, saliency
from striate.look.explain.gradcam import gradcam
from striate.look.explain.occlusion import occlusion
from striate.look.explain.rectified import deconvolution, guided_backpropagation
from striate.models.registry import create_model, entry

pytestmark = pytest.mark.oracle
BOUND = 1e-5  # of the largest value
NETWORKS = {"lenet5": 32, "cifar_resnet20": 32, "squeezenet1_1": 40, "mobilenet_v2_0.35": 40, "deck_mnist_convnet": 28}


def case(name: str) -> tuple[nn.Module, Tensor, int]:
    torch.manual_seed(0)
    known, side = entry(name), NETWORKS[name]
    size = {"input_size": (side, side)} if known.fixed_size else {}
    x = torch.randn(2, known.input[0], side, side).double()
    return create_model(name, num_classes=10, **size).eval().double(), x, 10  # differences of near logits: no float32


def off(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max().clamp_min(1e-30))


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_captum(name: str) -> None:
    attr = pytest.importorskip("captum.attr", reason="Captum is not installed: make oracles")
    model, x, classes = case(name)
    layer = entry(name).look
    seen = gradcam(model, x, classes, layer=layer)
    k = seen.target
    theirs = attr.LayerGradCam(model, dict(model.named_modules())[layer]).attribute(x, target=k, relu_attributions=True)
    top = theirs.detach().amax(dim=(2, 3), keepdim=True).clamp_min(1e-30)
    found = {"Grad-CAM": off(seen.maps, (theirs.detach() / top)[:, 0])}
    found["saliency"] = off(saliency(model, x, classes, target=k).values, attr.Saliency(model).attribute(x, target=k))
    ours = integrated_gradients(model, x, classes, target=k, steps=20)
    want, delta = attr.IntegratedGradients(model).attribute(x, target=k, n_steps=20, return_convergence_delta=True)
    found["integrated gradients"] = off(ours.values, want.to(ours.values))
    assert ours.error is not None
    torch.testing.assert_close(ours.error, delta.to(ours.error), rtol=1e-3, atol=1e-6)
    covered = occlusion(model, x, classes, target=k, window=9, stride=6).values
    shape = {"sliding_window_shapes": (x.shape[1], 9, 9), "strides": (x.shape[1], 6, 6)}
    found["occlusion"] = off(covered, attr.Occlusion(model).attribute(x, target=k, **shape)[:, :1])
    if any(isinstance(part, nn.ReLU) for part in model.modules()):  # Captum knows ReLU layers only
        guided = guided_backpropagation(model, x, classes, target=k).values
        found["guided backpropagation"] = off(guided, attr.GuidedBackprop(model).attribute(x, target=k))
        back = deconvolution(model, x, classes, target=k).values
        found["deconvolution"] = off(back, attr.Deconvolution(model).attribute(x, target=k))
    print(f"\n{name}: " + ", ".join(f"{what} {value:.1e}" for what, value in found.items()))
    assert max(found.values()) <= BOUND
