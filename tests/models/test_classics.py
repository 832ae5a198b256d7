"""The networks before 2015 and CapsNet, written out anew from their papers, in float64, without Striate's layers.

These have no implementation that could be installed beside torch 2.13. The weights are each model's own first ones.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.capsnet import CapsNet, capsnet_loss, margin_loss, squash
from striate.models.cost import cost
from striate.models.lenet_1998 import TABLE, map_loss, prototypes
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers

Weights = dict[str, Tensor]

# Stages of facts.json -> the step that puts them out. Where a step has the name of the stage, none is given.
ZFNET = {"features.stage1": "norm1", "features.stage2": "norm2", "features.stage3": "pool5", "output": "fc8"}
STAGES: dict[str, dict[str, str]] = {
    "squeezenet1_0": {},
    "squeezenet1_1": {},
    "squeezenet_simple_bypass": {
        "features.init_block": "features.0", "features.stage1": "features.5", "features.stage2": "features.10",
        "features.stage3": "features.12", "output.final_conv": "classifier.1", "output.final_pool": "classifier.3"},
    "squeezenet_complex_bypass": {
        "conv1": "features.0", "pool1": "features.2", "fire2": "features.3", "fire3": "features.4",
        "fire4": "features.5", "pool4": "features.6", "fire5": "features.7", "fire6": "features.8",
        "fire7": "features.9", "fire8": "features.10", "pool8": "features.11", "fire9": "features.12",
        "conv10": "classifier.1", "avgpool": "flatten"},
    "alexnet_2gpu": {}, "alexnet_onetower": {}, "alexnet_torchvision": {"classifier.0": "flatten"},
    "alexnet_deck_table": {
        "0:Conv2d": "conv1", "3:MaxPool2d": "pool1", "4:Conv2d": "conv2", "7:MaxPool2d": "pool2", "8:Conv2d": "conv3",
        "12:Conv2d": "conv5", "14:Flatten": "flatten", "15:Linear": "fc6", "19:Linear": "fc8"},
    "zfnet": ZFNET, "zfnet_b": ZFNET,
    "nin_cifar10": {
        "features.stage1": "relu_cccp2", "features.stage2": "relu_cccp4", "features.stage3": "relu_cccp5",
        "output.final_conv": "cccp6", "output.final_pool": "pool3"},
    "nin_imagenet": {
        "0:Conv2d": "conv1", "6:MaxPool2d": "pool0", "7:Conv2d": "conv2", "13:MaxPool2d": "pool2", "14:Conv2d": "conv3",
        "20:MaxPool2d": "pool3", "21:Conv2d": "conv4", "25:Conv2d": "cccp8", "27:AdaptiveAvgPool2d": "pool4",
        "28:Flatten": "flatten"},
    "deck4_keras_convnet": {},
    "lenet5_1998": {"C3": "tanh3"},
    "capsnet_mnist": {
        "primary_caps conv": "conv2", "primary capsules": "primary_caps", "digit capsules": "digit_caps"},
}  # fmt: skip
for name, depths in {
    "vgg11": "11222", "vgg_alrn": "11222", "vgg13": "22222", "vgg_c": "22333", "vgg16": "22333", "vgg19": "22444",
    "deck_vgg16_dense": "22333",
}.items():  # fmt: skip
    for form, layers in (("", 2), ("_bn", 3)):
        at, steps = 0, {"fc1": "classifier.0", "fc2": "classifier.3", "fc3": "classifier.6"}
        for block, depth in enumerate(map(int, depths), 1):
            at += depth * layers + (name == "vgg_alrn" and block == 1)
            steps |= {f"block{block}": f"features.{at - 1}", f"pool{block}": f"features.{at}"}
            at += 1
        if form == "" or name not in ("vgg_alrn", "deck_vgg16_dense"):
            STAGES[name + form] = steps


@pytest.mark.parametrize("name", STAGES)
def test_counts_and_stages_are_those_of_the_facts(shared: Path, name: str) -> None:
    facts = json.loads((shared / "facts" / "facts.json").read_text())["architectures"]
    known = next(architecture for architecture in facts if architecture["id"] == name)
    with without_numbers():
        found = cost(create_model(name), entry(name).input)
    assert found.trainable == known["expected"]["params_trainable"]
    assert found.macs == known["expected"]["macs"]
    last: dict[str, tuple[int, ...]] = {}  # the output of a stage is that of the last layer inside it
    for row in found.rows:
        parts = row.name.split(".")
        last |= {".".join(parts[:n]): row.output for n in range(1, len(parts) + 1)}
        if name.startswith("squeezenet") and row.name.endswith("expand3x3_activation"):  # half of what is concatenated
            last[".".join(parts[:2])] = (2 * row.output[0], *row.output[1:])
    for stage, shape in known["stages"]["list"]:
        if stage == "decoder":
            continue
        made = last[STAGES[name].get(stage, stage)]
        assert made == tuple(shape) or (*made, 1, 1) == tuple(shape), stage


def windows(x: Tensor, k: int, stride: int, padding: int = 0, fill: float = 0.0, hang: bool = False) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W', k·k); where one hangs over the edge, what is outside is `fill`."""
    over = [-(side + 2 * padding - k) % stride if hang else 0 for side in x.shape[2:]]
    x = F.pad(x, (padding, padding + over[1], padding, padding + over[0]), value=fill)
    return x.unfold(2, k, stride).unfold(3, k, stride).flatten(-2)


def conv(w: Weights, name: str, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    filters = w[f"{name}.weight"]
    shares = zip(windows(x, filters.shape[-1], stride, padding).chunk(groups, 1), filters.chunk(groups), strict=True)
    y = [torch.einsum("nchwk,ock->nohw", part, own.flatten(2)) for part, own in shares]
    return torch.cat(y, 1) + w[f"{name}.bias"][:, None, None]


def top(x: Tensor, k: int = 3, stride: int = 2, hang: bool = False) -> Tensor:
    return windows(x, k, stride, fill=-torch.inf, hang=hang).amax(-1)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def respond(x: Tensor) -> Tensor:
    """AlexNet's section 3.3, term by term: k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    y = torch.empty_like(x)
    for i in range(x.shape[1]):
        y[:, i] = x[:, i] / (2 + 1e-4 * x[:, max(0, i - 2) : i + 3].square().sum(1)) ** 0.75
    return y


def head(w: Weights, x: Tensor) -> Tensor:
    return linear(w, "fc8", linear(w, "fc7", linear(w, "fc6", x.flatten(1)).relu()).relu())


def alexnet(w: Weights, x: Tensor, groups: int, pooled: bool) -> Tensor:
    x = top(respond(conv(w, "conv1", x, 4).relu()))
    x = top(respond(conv(w, "conv2", x, 1, 2, groups).relu()))
    x = conv(w, "conv3", x, 1, 1).relu()
    x = conv(w, "conv5", conv(w, "conv4", x, 1, 1, groups).relu(), 1, 1, groups).relu()
    return head(w, top(x) if pooled else x)


def zfnet(w: Weights, x: Tensor) -> Tensor:
    x = respond(top(conv(w, "conv1", x, 2, 1).relu(), hang=True))
    x = respond(top(conv(w, "conv2", x, 2).relu(), hang=True))
    return head(w, top(conv(w, "conv5", conv(w, "conv4", conv(w, "conv3", x, 1, 1).relu(), 1, 1).relu(), 1, 1).relu()))


def nin_cifar10(w: Weights, x: Tensor) -> Tensor:
    x = top(perceptron(w, conv(w, "conv1", x, 1, 2), "cccp1", "cccp2"), hang=True)
    x = perceptron(w, conv(w, "conv2", x, 1, 2), "cccp3", "cccp4")
    inside = windows(torch.ones_like(x), 3, 2, hang=True).sum(-1)
    x = windows(x, 3, 2, hang=True).sum(-1) / inside
    return perceptron(w, conv(w, "conv3", x, 1, 1), "cccp5", "cccp6").mean((2, 3))


def nin_imagenet(w: Weights, x: Tensor) -> Tensor:
    x = top(perceptron(w, conv(w, "conv1", x, 4), "cccp1", "cccp2"), hang=True)
    x = top(perceptron(w, conv(w, "conv2", x, 1, 2), "cccp3", "cccp4"), hang=True)
    x = top(perceptron(w, conv(w, "conv3", x, 1, 1), "cccp5", "cccp6"), hang=True)
    return perceptron(w, conv(w, "conv4", x, 1, 1), "cccp7", "cccp8").mean((2, 3))


def perceptron(w: Weights, x: Tensor, *layers: str) -> Tensor:
    for layer in layers:
        x = conv(w, layer, x.relu())
    return x.relu()


def squeezenet(w: Weights, x: Tensor, bypass: str) -> Tensor:
    x = top(conv(w, "features.0", x, 2).relu(), hang=True)
    for step in (3, 4, 5, 7, 8, 9, 10, 12):
        x = top(x, hang=True) if step in (7, 12) else x
        at = f"features.{step}"
        s = conv(w, f"{at}.squeeze", x).relu()
        y = torch.cat([conv(w, f"{at}.expand1x1", s).relu(), conv(w, f"{at}.expand3x3", s, 1, 1).relu()], 1)
        if step in (4, 7, 9, 12):  # fire3, 5, 7, 9
            y = y + x
        elif bypass == "complex":  # fire2, 4, 6, 8
            y = y + conv(w, f"{at}.downsample", x)
        x = y
    return conv(w, "classifier.1", x).relu().mean((2, 3))


def vgg(w: Weights, x: Tensor, column: str, response: bool = False) -> Tensor:
    """A column of table 1; `1` for a 1×1, `3` for a 3×3, `p` for a pooling."""
    at = 0
    for row in column:
        if row == "p":
            x, at = top(x, 2, 2), at + 1
        else:
            x, at = conv(w, f"features.{at}", x, 1, int(row) // 2), at + 1
            if f"features.{at}.running_var" in w:
                mean, var, gamma, beta = (
                    w[f"features.{at}.{part}"][:, None, None]
                    for part in ("running_mean", "running_var", "weight", "bias")
                )
                x, at = (x - mean) / (var + 1e-5).sqrt() * gamma + beta, at + 1
            x, at = x.relu(), at + 1
            if response:
                x, at, response = respond(x), at + 1, False
    x = x.expand(-1, -1, 7, 7).flatten(1)  # of one position
    return linear(w, "classifier.6", linear(w, "classifier.3", linear(w, "classifier.0", x).relu()).relu())


def convnet(w: Weights, x: Tensor) -> Tensor:
    x = top(conv(w, "conv2", top(conv(w, "conv1", x).relu(), 2, 2)).relu(), 2, 2)
    return linear(w, "dense2", linear(w, "dense1", x.flatten(1)).relu())


def vgg16_dense(w: Weights, x: Tensor) -> Tensor:
    for i in range(31):
        if f"features.{i}.weight" in w:
            x = conv(w, f"features.{i}", x, 1, 1).relu()
        elif f"features.{i - 1}.weight" not in w:
            x = top(x, 2, 2)
    return linear(w, "dense2", linear(w, "dense1", x.flatten(1)).relu())


def lenet5_1998(w: Weights, x: Tensor) -> Tensor:
    def squash(a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)

    def sample(name: str, x: Tensor) -> Tensor:
        sums = windows(x, 2, 2).sum(-1)
        return squash(sums * w[f"{name}.scale.weight"][:, None, None] + w[f"{name}.scale.bias"][:, None, None])

    x = sample("S2", squash(conv(w, "C1", x)))
    dense, bias = torch.zeros(16, 6, 5, 5, dtype=x.dtype), torch.zeros(16, dtype=x.dtype)
    for i, maps in enumerate(TABLE):
        for position, j in enumerate(maps):
            dense[i, j] = w[f"C3.{i}.conv.weight"][0, position]
        bias[i] = w[f"C3.{i}.conv.bias"][0]
    x = sample("S4", squash(conv({"C3.weight": dense, "C3.bias": bias}, "C3", x)))
    x = squash(linear(w, "F6", squash(conv(w, "C5", x)).flatten(1)))
    return torch.stack([-((x - code) ** 2).sum(1) for code in w["output.weight"]], 1)


def capsnet(w: Weights, x: Tensor) -> Tensor:
    def squashed(s: Tensor) -> Tensor:
        length = s.norm(dim=-1, keepdim=True)
        return length**2 / (1 + length**2) * s / length

    maps = conv(w, "conv2", conv(w, "conv1", x).relu(), 2)
    n, side = len(x), maps.shape[-1]
    u = torch.empty(n, 32 * side * side, 8, dtype=x.dtype)
    for kind in range(32):
        for at in range(side * side):
            u[:, kind * side * side + at] = maps[:, 8 * kind : 8 * kind + 8, at // side, at % side]
    u, matrices = squashed(u), w["digit_caps.weight"]
    logits = torch.empty(n, 10, dtype=x.dtype)
    for image in range(n):
        hat = (matrices @ u[image, :, None, :, None])[..., 0]  # (I, J, 16)
        b = torch.zeros(hat.shape[:2], dtype=x.dtype)
        for _ in range(3):
            c = b.exp() / b.exp().sum(1, keepdim=True)
            v = squashed((c[..., None] * hat).sum(0))
            b = b + (hat * v).sum(-1)
        p = v.norm(dim=-1)
        logits[image] = torch.log(p) - torch.log(1 - p)
    return logits


def column(text: str, **options: bool) -> Callable[[Weights, Tensor], Tensor]:
    return lambda w, x: vgg(w, x, text, **options)


FORMS: list[tuple[str, int, Callable[[Weights, Tensor], Tensor]]] = [
    ("alexnet_2gpu", 67, lambda w, x: alexnet(w, x, 2, True)),
    ("alexnet_onetower", 67, lambda w, x: alexnet(w, x, 1, True)),
    ("alexnet_deck_table", 67, lambda w, x: alexnet(w, x, 1, False)),
    ("zfnet", 79, zfnet),
    ("zfnet_b", 63, zfnet),
    ("nin_cifar10", 30, nin_cifar10),
    ("nin_imagenet", 60, nin_imagenet),
    ("squeezenet_simple_bypass", 49, lambda w, x: squeezenet(w, x, "simple")),
    ("squeezenet_complex_bypass", 46, lambda w, x: squeezenet(w, x, "complex")),
    ("vgg_alrn", 32, column("3p3p33p33p33p", response=True)),
    ("vgg_c", 32, column("33p33p331p331p331p")),
    ("vgg_c_bn", 32, column("33p33p331p331p331p")),
    ("deck4_keras_convnet", 28, convnet),
    ("deck_vgg16_dense", 64, vgg16_dense),
    ("lenet5_1998", 32, lenet5_1998),
    ("capsnet_mnist", 20, capsnet),
]
HUGE = ("alexnet_onetower", "alexnet_deck_table", "zfnet", "zfnet_b", "vgg_alrn", "vgg_c", "vgg_c_bn")


@pytest.mark.parametrize(
    ("name", "side", "written_out"),
    [pytest.param(*form, id=form[0], marks=[pytest.mark.slow] if form[0] in HUGE else []) for form in FORMS],
)
def test_logits_are_those_of_the_network_written_out(
    name: str, side: int, written_out: Callable[[Weights, Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    model = create_model(name, input_size=(side, side)).double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.ndim == 1:  # biases, and the norms' numbers
                tensor.uniform_(0.2, 0.9)
        # Large, so that response normalisation does something.
        x = 40 * torch.randn(2, entry(name).input[0], side, side, dtype=torch.float64)
        x = x / 40 if name in ("lenet5_1998", "capsnet_mnist") else x
        y, expected = model(x), written_out(dict(model.state_dict()), x)
    assert expected.std() > 0
    assert (y - expected).abs().max() <= 1e-9 * expected.abs().max()


class TestLeNet5Of1998:
    def test_the_layers_have_as_many_parameters_as_printed(self) -> None:
        model = create_model("lenet5_1998")
        printed = {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164, "output": 0}
        for name, parameters in printed.items():
            assert sum(p.numel() for p in model.get_submodule(name).parameters()) == parameters, name

    def test_the_bitmaps_of_any_two_digits_differ_in_many_pixels(self) -> None:
        codes = prototypes(10)
        assert codes.shape == (10, 84)
        assert set(codes.unique().tolist()) == {-1.0, 1.0}
        differing = (codes[:, None] != codes).sum(-1) + 84 * torch.eye(10, dtype=torch.int64)
        assert differing.min() >= 3

    def test_more_classes_than_digits_get_codes_that_are_always_the_same(self) -> None:
        assert torch.equal(prototypes(30), prototypes(30))
        assert len(prototypes(30).unique(dim=0)) == 30

    def test_the_loss_is_equation_9(self) -> None:
        y, labels, j = 5 * torch.rand(6, 10, dtype=torch.float64), torch.arange(6), 0.7
        wrong = [
            y[n, d] + torch.log(torch.exp(torch.tensor(-j)) + y[n].neg().exp().sum()) for n, d in enumerate(labels)
        ]
        torch.testing.assert_close(map_loss(-y, labels, j), torch.stack(wrong).mean(), rtol=1e-7, atol=0)


class TestCapsNet:
    def test_squash_keeps_the_direction_and_gives_the_length_of_equation_1(self) -> None:
        s = torch.randn(5, 7, 16, dtype=torch.float64)
        v, length = squash(s), s.norm(dim=-1)
        torch.testing.assert_close(v.norm(dim=-1), length**2 / (1 + length**2))
        torch.testing.assert_close(F.cosine_similarity(v, s, dim=-1), torch.ones(5, 7, dtype=torch.float64))

    def test_a_capsule_of_nothing_stays_nothing_and_has_a_gradient(self) -> None:
        s = torch.zeros(1, 4, requires_grad=True)
        squash(s).sum().backward()
        assert s.grad is not None
        assert s.grad.isfinite().all()

    def test_the_margin_loss_is_equation_4(self) -> None:
        p, labels = torch.rand(4, 10, dtype=torch.float64), torch.tensor([3, 0, 9, 3])
        terms = [
            max(0.0, 0.9 - p[n, k].item()) ** 2 if k == labels[n] else 0.5 * max(0.0, p[n, k].item() - 0.1) ** 2
            for n in range(4)
            for k in range(10)
        ]
        assert margin_loss(p.logit(), labels).item() == pytest.approx(sum(terms) / 4, rel=1e-12)

    def test_it_draws_from_the_capsule_of_the_class_alone(self) -> None:
        model = create_model("capsnet_mnist")
        assert isinstance(model, CapsNet)
        capsules, label = torch.randn(2, 10, 16), torch.tensor([4, 7])
        drawn = model.reconstruct(capsules, label)
        others = capsules.clone()
        others[0, 5], others[1, 4] = 9.0, 9.0
        assert drawn.shape == (2, 1, 28, 28)
        assert torch.equal(model.reconstruct(others, label), drawn)
        assert torch.equal(model.reconstruct(others), model.reconstruct(others, torch.tensor([5, 4])))

    def test_every_parameter_gets_a_gradient_from_its_loss(self) -> None:
        model = create_model("capsnet_mnist")
        assert isinstance(model, CapsNet)
        capsnet_loss(model, torch.rand(2, 1, 28, 28), torch.tensor([1, 2])).backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_a_network_that_flattens_says_where_another_size_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="F6 takes 120 features"):
        create_model("lenet5_1998")(torch.zeros(1, 1, 40, 40))
