"""Patterns climb, alone as in company, and leave the network as it was."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.filters import patterns as module_of_patterns
from striate.look.filters.ascent import Ascent, Fourier
from striate.look.filters.asked import canvas_for, numbers, objectives
from striate.look.filters.canvas import Canvas, draws
from striate.look.filters.objectives import Channel, Logit, Sum, Unit
from striate.look.filters.patterns import FLAT, LINEAR, NOT_FINITE, WEAK, channels, patterns
from striate.models.registry import create_model, entry, list_models
from tests.look.filters.nets import SMALL, Residual, convnet, grating
from tests.look.planted import planted as stripes

# untrained filters are excited by single pixels, which do not survive being shaken
METHODS = [Ascent(steps=10, step=4.0), Fourier(steps=40, shift=0, turn=0, scale=0)]


def value(net: nn.Module, layer: str, channel: int, pixels: Tensor, canvas: Canvas) -> Tensor:
    """The mean of a channel (N,), by running a copy of the layers up to it: an own way to compute it."""
    with torch.no_grad():
        y = canvas.normalise(pixels)
        for name, part in net.named_children():
            y = part(y.clone())
            if name == layer:
                return y[:, channel].mean((1, 2))
    raise AssertionError


@pytest.mark.parametrize("method", METHODS, ids=["deck", "fourier"])
@pytest.mark.parametrize(("seed", "norm"), [(0, False), (1, True), (2, False)])
def test_the_pattern_excites_its_filter_more_than_the_noise_it_began_with(method, seed: int, norm: bool) -> None:  # type: ignore[no-untyped-def]
    net = convnet(seed, norm=norm, in_place=True)
    layer = "7" if norm else "4"
    found = patterns(net, channels(net, layer, SMALL), SMALL, method)
    for i, one in enumerate(found.objectives):
        assert isinstance(one, Channel)
        best = value(net, layer, one.channel, found.pixels[i : i + 1], SMALL)
        assert torch.allclose(best, torch.tensor([found.after[i]]), rtol=1e-4, atol=1e-5)
        assert found.after[i] > found.before[i] or found.remarks[i] == FLAT
    assert sum(remark == "" for remark in found.remarks) >= 8


@pytest.mark.parametrize("method", METHODS, ids=["deck", "fourier"])
def test_a_pattern_does_not_depend_on_its_company_nor_on_the_batch(method) -> None:  # type: ignore[no-untyped-def]
    net = convnet(norm=True)
    every = [*channels(net, "8", SMALL), Unit("5", 2, 3, 4), Logit(1)]
    whole = patterns(net, every, SMALL, method, classes=5)
    for batch, some in ((1, (3, 17, 16)), (3, (15, 0, 9, 4)), (64, (5,))):
        few = patterns(net, [every[i] for i in some], SMALL, method, classes=5, batch=batch)
        for place, i in enumerate(some):
            apart = np.abs(few.images[place].astype(int) - whole.images[i].astype(int))
            if isinstance(method, Ascent):
                assert apart.max() <= 1, (batch, i)
            assert apart.mean() < 0.5, (batch, i)  # Adam enlarges differences of rounding
            assert few.after[place] == pytest.approx(whole.after[i], rel=1e-4 if isinstance(method, Ascent) else 1e-2)


def test_another_seed_is_another_pattern() -> None:
    net = convnet()
    first, again, other = (patterns(net, [Channel("3", 2)], SMALL, METHODS[0], seed=s) for s in (0, 0, 1))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_the_logits_of_a_trained_network_rise_above_those_of_its_images(reader: nn.Sequential) -> None:
    images, labels, _ = stripes(64, 3)
    canvas = Canvas((32, 32), (0.5,), (0.25,))
    for method in (Ascent(), Fourier()):
        found = patterns(reader, [Logit(0), Logit(1), Logit(2)], canvas, method, classes=3)
        with torch.no_grad():
            z, known = reader(canvas.normalise(found.pixels)), reader(images)
        assert z.argmax(1).tolist() == [0, 1, 2]
        for k in range(3):
            assert z[k, k] > known[labels == k, k].median()
            assert found.before[k] < found.after[k] == pytest.approx(z[k, k].item(), rel=1e-3)


@pytest.mark.parametrize("method", METHODS, ids=["deck", "fourier"])
@pytest.mark.parametrize("name", ["lenet5", "cifar_resnet20"])
def test_the_logit_of_a_class_rises(name: str, method) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = create_model(name).eval()
    shades = 1 if name == "lenet5" else 3
    canvas = Canvas((32, 32), (0.5,) * shades, (0.25,) * shades)
    found = patterns(net, [Logit(0), Logit(1)], canvas, method, classes=10)
    with torch.no_grad():
        logits = net(canvas.normalise(found.pixels))
    for i in (0, 1):
        assert found.after[i] == pytest.approx(logits[i, i].item(), rel=1e-3, abs=1e-4)
        assert found.after[i] > found.before[i]


def test_one_logit_for_two_classes_is_driven_both_ways() -> None:
    net = convnet(classes=1)
    found = patterns(net, [Logit(0), Logit(1)], SMALL, METHODS[0], classes=2)
    with torch.no_grad():
        z = net(SMALL.normalise(found.pixels))[:, 0]
    assert found.after == pytest.approx([-z[0].item(), z[1].item()], rel=1e-4)
    assert all(b > a for a, b in zip(found.before, found.after, strict=True))


def test_a_softmax_at_the_end_is_left_out() -> None:
    net = convnet()
    with_softmax = nn.Sequential(*net, nn.Softmax(1)).eval()
    plain, soft = (patterns(one, [Logit(3)], SMALL, METHODS[0], classes=5) for one in (net, with_softmax))
    assert torch.equal(plain.pixels, soft.pixels)


def test_a_weighted_sum_is_the_sum_of_its_parts() -> None:
    net = convnet(norm=True, in_place=True).double()  # what the norms put out is overwritten by the next step
    parts = ((2.0, Channel("1", 3)), (-0.5, Unit("7", 1, 4, 4)), (1.0, Logit(2)))
    found = patterns(net, [Sum(parts)], SMALL, METHODS[0], classes=5)
    x = SMALL.normalise(found.pixels).double()
    with torch.no_grad():
        a, b, z = net[:2](x), net[:8](x), net(x)
    expected = 2 * a[0, 3].mean() - 0.5 * b[0, 1, 4, 4] + z[0, 2]
    assert found.after[0] == pytest.approx(expected.item(), rel=1e-5)
    assert found.after[0] > found.before[0]
    assert found.objectives[0].label == "2 1 3 - 0.5 7 1,4,4 + class 2"


def test_the_lectures_steps_by_hand() -> None:
    net, canvas = convnet(), Canvas.plain((9, 7))
    net[0].bias.data[4] = -138 * net[0].weight.detach()[4].sum()  # open in places, shut in others
    found = patterns(net, [Channel("1", 4)], canvas, Ascent(steps=3))
    assert found.remarks == ("",)
    u = draws(0, 0, "filter pattern", ["1 4"], (3, 9, 7)).numpy().astype(np.float64)
    assert 0 <= u.min() < 0.05 < 0.95 < u.max() < 1
    x, conv = 128 + 20 * u, net[0]
    w, b = (p.detach().double().numpy() for p in (conv.weight[4], conv.bias[4]))
    for _ in range(3):
        padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
        g = np.zeros_like(padded)
        for i, j in itertools.product(range(9), range(7)):
            if (padded[:, i : i + 3, j : j + 3] * w).sum() + b > 0:  # the ReLU is open
                g[:, i : i + 3, j : j + 3] += w / 63
        g = g[:, 1:-1, 1:-1]
        x = x + g / (np.sqrt((g**2).mean()) + 1e-5)
    assert np.abs(found.pixels.numpy() - x).max() < 1e-3
    shown = (x - x.mean()) / (x.std() + 1e-5) * 0.1 + 0.5
    by_hand = (np.clip(shown, 0, 1) * 255).astype(np.uint8)[0].transpose(1, 2, 0)
    assert np.abs(found.images[0].astype(int) - by_hand.astype(int)).max() <= 1


def test_a_unit_of_a_planted_grating_yields_that_grating_and_only_it() -> None:
    net, canvas = planted()
    for k, kernel in enumerate(PLANTED):
        found = patterns(net, [Unit("0", k, 16, 16)], canvas, Ascent())
        gained = found.pixels[0, 0] - (128 + 20 * draws(0, 0, "filter pattern", [f"0 {k},16,16"], (1, 32, 32)))[0, 0]
        assert correlation(gained[12:21, 12:21], kernel) > 0.999
        gained[12:21, 12:21] = 0
        assert gained.abs().max() < 1e-3


@pytest.mark.parametrize(("method", "least"), [(Ascent(), 0.9), (Fourier(), 0.65)], ids=["deck", "fourier"])
def test_the_pattern_of_a_planted_grating_shows_it_and_no_other(method, least: float) -> None:  # type: ignore[no-untyped-def]
    net, canvas = planted()
    found = patterns(net, [Channel("1", k) for k in range(len(PLANTED))], canvas, method)
    for k in range(len(PLANTED)):
        windows = found.pixels[k, 0].unfold(0, 9, 1).unfold(1, 9, 1).reshape(-1, 9, 9)
        matches = torch.tensor([[correlation(w, kernel) for kernel in PLANTED] for w in windows]).amax(0)
        assert matches[k] > least
        assert (matches < 0.4).sum() == len(PLANTED) - 1


PLANTED = [grating(angle) for angle in (0.0, 0.8, 1.6, 2.4)]


def planted() -> tuple[nn.Sequential, Canvas]:
    conv = nn.Conv2d(1, len(PLANTED), 9, padding=4)
    conv.weight.data, conv.bias.data = torch.stack(PLANTED)[:, None], torch.zeros(len(PLANTED))
    return nn.Sequential(conv, nn.ReLU(), nn.Conv2d(4, 2, 1)).eval(), Canvas((32, 32), (0.5,), (0.25,))


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm() + 1e-12))


def test_what_has_no_way_up_and_what_is_linear_is_said() -> None:
    net = convnet()
    net[0].weight.data[2], net[0].bias.data[2] = 0, -1
    linear, silent = patterns(net, [Channel("0", 1), Channel("1", 2)], SMALL, Ascent(steps=4)).remarks
    assert linear == LINEAR
    assert silent == FLAT
    net[2].weight.data *= 1e-6
    assert patterns(net, [Channel("2", 3)], SMALL, Ascent(steps=4)).remarks == (WEAK,)
    assert patterns(net, [Channel("2", 3)], SMALL, Fourier(steps=4, shift=0, turn=0, scale=0)).remarks == ("",)
    net[0].weight.data[3, 0, 0, 0] = float("nan")
    found = patterns(net, [Channel("1", 3)], SMALL, Ascent(steps=2))
    assert found.remarks == (NOT_FINITE,)
    assert found.notes == (f"3: {NOT_FINITE}",)


def test_a_filter_that_is_silent_at_first_is_woken_by_what_its_rectifier_is_given() -> None:
    net = convnet()
    net[0].bias.data[:] = -0.05 * net[0].weight.detach().abs().sum((1, 2, 3))
    stays, wakes = (patterns(net, [Channel("1", 1)], SMALL, m) for m in (Ascent(steps=5), Fourier(steps=40)))
    assert (stays.remarks[0], stays.after[0]) == (FLAT, 0.0)
    assert wakes.remarks[0] == ""
    assert wakes.after[0] > 0


def state(net: nn.Module) -> list[object]:
    parts = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._buffers)) for m in net.modules()]
    weights = [(p.requires_grad, None if p.grad is None else p.grad.sum().item()) for p in net.parameters()]
    return [*parts, *weights, *(t.detach().double().sum().item() for t in net.state_dict().values())]


@pytest.mark.parametrize("method", METHODS, ids=["deck", "fourier"])
def test_the_network_is_afterwards_as_it_was_also_after_an_error(method) -> None:  # type: ignore[no-untyped-def]
    net = convnet(norm=True, in_place=True).train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    net[3].weight.grad = torch.ones_like(net[3].weight)
    before = state(net)
    with torch.no_grad(), torch.inference_mode():
        patterns(net, [Channel("5", 2), Logit(1)], SMALL, method, classes=5)
    assert state(net) == before

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patterns(net, [Channel("5", 2)], SMALL, method, progress=stop)
    with pytest.raises(UsageError):
        patterns(net, [Channel("5", 2), Channel("5", 99)], SMALL, method)
    assert state(net) == before


def test_a_users_module_that_works_in_place_and_uses_a_layer_twice_is_climbed() -> None:
    torch.manual_seed(0)
    net = Residual()
    wanted = [Channel("relu", 2), Channel("relu:2", 2), Channel("conv2", 2), Logit(2)]
    found = patterns(net, wanted, SMALL, Ascent(steps=8), classes=4)
    assert all(b > a for a, b in zip(found.before, found.after, strict=True))
    x = SMALL.normalise(found.pixels)
    with torch.no_grad():
        first = net.conv1(x).relu()
        second = (net.conv2(first) + first).relu()
    assert found.after[0] == pytest.approx(first[0, 2].mean().item(), rel=1e-4)
    assert found.after[1] == pytest.approx(second[1, 2].mean().item(), rel=1e-4)
    assert found.after[2] == pytest.approx(net.conv2(first)[2, 2].mean().item(), rel=1e-4)


def test_only_the_part_of_the_network_up_to_the_layer_runs() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("this should not run")

    net = nn.Sequential(*convnet()[:2], Never()).eval()
    for layer in ("0", "1"):
        patterns(net, channels(net, layer, SMALL)[:2], SMALL, Ascent(steps=2))
    alexnet = create_model("alexnet").eval()  # flattens: takes one size alone, but its first layers take any
    assert patterns(alexnet, [Channel("features.1", 0)], Canvas((64, 64)), Ascent(steps=1)).images.shape == (
        1,
        64,
        64,
        3,
    )


def test_a_norm_over_the_batch_gets_one_image_at_a_time() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Conv2d(4, 4, 1))
    every = [Channel("3", c) for c in range(4)]
    together = patterns(net, every, SMALL, METHODS[0])
    for i, one in enumerate(every):
        assert torch.equal(patterns(net, [one], SMALL, METHODS[0]).pixels[0], together.pixels[i])


def test_progress_counts_the_steps_of_all_patterns() -> None:
    said: list[tuple[int, int]] = []
    patterns(convnet(), [Channel("1", c) for c in range(5)], SMALL, Ascent(steps=3), batch=2,
             progress=lambda done, of: said.append((done, of)))  # fmt: skip
    assert said == [(d, 15) for d in (2, 4, 6, 8, 10, 12, 13, 14, 15)]


def test_four_channels_and_double_precision_are_fine() -> None:
    net = nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)).double()
    for method in METHODS:
        found = patterns(net, [Channel("2", 1)], Canvas.plain((12, 12), 4), method)
        assert found.images.shape == (1, 12, 12, 1)


@pytest.mark.parametrize(
    ("objective", "error", "message"),
    [
        (Channel("nothing", 0), UnknownName, "no layer 'nothing'"),
        (Channel("3", 12), UsageError, "layer '3' has no channel 12; it has 12, 0 to 11"),
        (Channel("9", 0), UnknownName, "no layer '9'"),
        (Channel("3:2", 0), ShapeError, "'3:2' did not run; '3' runs once"),
        (Unit("3", 0, 12, 0), UsageError, "has no place 12,0; its maps are 12 by 12"),
        (Unit("8", 0, 0, 0), ShapeError, "has no places"),
        (Logit(5), UsageError, "the network has no class 5; it has 5, 0 to 4"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(objective, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        patterns(convnet(), [objective], SMALL, classes=5)


def test_a_size_that_does_not_go_through_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 4))
    with pytest.raises(ShapeError, match="24×24 pixels and 3 channels does not go through this Sequential: mat1"):
        patterns(net, [Logit(0)], SMALL, classes=4)
    with pytest.raises(ShapeError, match="48×48 pixels and 1 channels"):
        channels(net, "0", Canvas((48, 48), (0.0,), (1.0,)))


def climbs(name: str) -> None:
    torch.manual_seed(0)
    known = entry(name)
    side = known.input[1] if known.fixed_size else max(known.smallest, min(known.input[1], 64))
    shades = known.input[0]
    net, canvas = create_model(name).eval(), Canvas((side, side), (0.5,) * shades, (0.25,) * shades)
    found = patterns(net, [Channel(known.look, 0), Channel(known.look, 1)], canvas, Ascent(steps=2))
    assert found.images.shape == (2, side, side, 3 if shades == 3 else 1), name
    if name.endswith("resnet1202"):  # untrained, 1,202 layers overflow, and this is said
        assert found.remarks == (NOT_FINITE, NOT_FINITE)
        return
    assert NOT_FINITE not in found.remarks, name
    for before, after, remark in zip(found.before, found.after, found.remarks, strict=True):
        assert after > before or remark in (FLAT, WEAK), name


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1", "cifar_resnet20", "shufflenet_v2_x0_5"])
def test_a_network_of_the_zoo_is_climbed_at_its_last_layer_that_has_places(name: str) -> None:
    climbs(name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_network_of_the_zoo_is_climbed_at_its_last_layer_that_has_places() -> None:
    for name in list_models():
        climbs(name)


def test_arguments_that_make_no_sense_are_refused() -> None:
    net = convnet()
    with pytest.raises(UsageError, match="nothing to find"):
        patterns(net, [], SMALL)
    with pytest.raises(UsageError, match="how many classes"):
        patterns(net, [Logit(0)], SMALL)
    with pytest.raises(UsageError, match="batch is 0"):
        patterns(net, [Channel("0", 0)], SMALL, batch=0)
    with pytest.raises(UsageError, match="steps is 0"):
        Fourier(steps=0)
    with pytest.raises(UsageError, match=r"pattern of 0×9 pixels"):
        Canvas((0, 9))
    with pytest.raises(UsageError, match=r"channel '3-': expected"):
        numbers(["3-"])


def test_what_is_asked_for_in_words_becomes_objectives() -> None:
    from striate.data.preprocess import Preprocess
    from striate.run.classifier import Classifier

    classifier = Classifier(convnet(), ["a", "b", "c", "d", "owl"], Preprocess(size=(200, 200)))
    canvas = canvas_for(classifier, "3")
    assert canvas.size == (150, 150)
    assert canvas_for(classifier, "8").size == canvas_for(classifier, None).size == (200, 200)  # has no places
    assert canvas_for(classifier, "3", 96).size == (96, 96)
    assert objectives(classifier, SMALL, layer="3", which=[2, 1]) == [Channel("3", 2), Channel("3", 1)]
    assert len(objectives(classifier, SMALL, layer="3")) == 12
    assert objectives(classifier, SMALL, layer="3", unit=(1, 2, 3)) == [Unit("3", 1, 2, 3)]
    assert objectives(classifier, SMALL, about=["owl", "0"]) == [Logit(4, "owl"), Logit(0, "a")]
    with pytest.raises(UsageError, match="which layer"):
        objectives(classifier, SMALL)
    with pytest.raises(UsageError, match="whole network"):
        objectives(classifier, SMALL, layer="3", about=["owl"])


def test_the_batch_follows_the_size_of_the_images() -> None:
    cpu = torch.device("cpu")
    assert [module_of_patterns._suitable(Canvas((s, s)), cpu) for s in (16, 150, 600)] == [256, 4, 1]
