"""Linear probes: the closed form, against scikit-learn; one pass; nothing of the test images leaks."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Preprocess
from striate.data.sources import open_dataset
from striate.data.wilson import wilson
from striate.errors import ArtefactError, DatasetError, UnknownName
from striate.look.sets.probes import IMAGE, Learner, probe, shrunk
from striate.look.sets.ridge import Sums, solve
from striate.look.trace import trace
from striate.models.registry import create_model

PREPARE = Preprocess(size=(32, 32), order="gray", mean=(0.5,), std=(0.5,))


@given(
    st.integers(12, 60), st.integers(1, 9), st.integers(2, 4), st.integers(0, 50), st.sampled_from([1e-3, 0.1, 10.0])
)
@settings(deadline=None, max_examples=30)
def test_the_closed_form_is_scikit_learns(n: int, d: int, k: int, seed: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d) * 5
    labels = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    sums = Sums.zero(d, k)
    for some in np.array_split(np.arange(n), 3):
        sums.add(torch.from_numpy(x[some]), torch.from_numpy(labels[some]))
    (ours,) = solve(sums, [penalty])
    scaler = StandardScaler().fit(x)
    theirs = Ridge(alpha=penalty * n).fit(scaler.transform(x), np.eye(k)[labels])
    fresh = rng.normal(size=(7, d))
    np.testing.assert_allclose(
        ours(torch.from_numpy(fresh)).numpy(), theirs.predict(scaler.transform(fresh)), rtol=1e-6, atol=1e-7
    )


def test_a_feature_that_never_changes_gets_no_weight() -> None:
    x = torch.stack([torch.linspace(-1, 1, 20), torch.full((20,), 7.3)], 1)
    sums = Sums.zero(2, 2)
    sums.add(x, (x[:, 0] > 0).long())
    (ours,) = solve(sums, [1e-5])
    assert ours.weight[1].tolist() == [0.0, 0.0]
    assert torch.equal(ours(x).argmax(1), (x[:, 0] > 0).long())


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    x, labels = torch.randn(30, 4), torch.arange(30) % 3
    whole, a, b = (Sums.zero(4, 3) for _ in range(3))
    whole.add(x, labels)
    a.add(x[:11], labels[:11])
    b.add(x[11:], labels[11:])
    both = a + b
    assert both.n == whole.n
    for name in ("x", "xx", "xt", "classes"):
        torch.testing.assert_close(getattr(both, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


def test_probes_are_what_scikit_learn_makes_by_hand_of_the_same_maps() -> None:
    data = open_dataset("digits")
    train, test = data.split("train").take(range(300)), data.split("test").take(range(150))
    torch.manual_seed(0)
    model = create_model("lenet5")
    found = probe(model, train, test, PREPARE, ["tanh1", "F6"], classes=data.classes, most=150, seed=4, workers=0)
    assert [one.step for one in found.probes] == [IMAGE, "tanh1", "F6"]

    def maps(split: Split) -> dict[str, Any]:
        x = PREPARE([split.images.read(i) for i in range(len(split))])
        with torch.no_grad(), trace(model, "tanh1", "F6") as seen:
            model.eval()(x)
        return {"tanh1": shrunk(seen["tanh1"], 150).double().numpy(), "F6": seen["F6"].double().numpy(),
                IMAGE: shrunk(x, 150).double().numpy()}  # fmt: skip

    fit, fresh = maps(train), maps(test)
    held = np.zeros(300, bool)
    held[np.random.default_rng(4).permutation(300)[:60]] = True
    for one in found.probes:
        x, y = fit[one.step], train.labels
        best = None
        for penalty in (10.0**i for i in range(-5, 3)):
            scaler = StandardScaler().fit(x[~held])
            ridge = Ridge(alpha=penalty * (~held).sum()).fit(scaler.transform(x[~held]), np.eye(10)[y[~held]])
            share = float((ridge.predict(scaler.transform(x[held])).argmax(1) == y[held]).mean())
            if best is None or share >= best[0]:
                best = (share, penalty)
        assert best is not None
        assert (one.held_out, one.penalty) == pytest.approx(best)
        scaler = StandardScaler().fit(x)
        ridge = Ridge(alpha=best[1] * 300).fit(scaler.transform(x), np.eye(10)[y])
        right = int((ridge.predict(scaler.transform(fresh[one.step])).argmax(1) == test.labels).sum())
        assert abs(one.right - right) <= 1  # of 150; float32 maps may tip a close call
        assert one.accuracy == wilson(one.right, 150)
        assert one.accuracy.value > 0.5
    again = probe(model, train, test, PREPARE, ["tanh1", "F6"], classes=data.classes, most=150, seed=4, batch=17)
    assert [p.right for p in again.probes] == pytest.approx([p.right for p in found.probes], abs=1)


def planted(n: int, seed: int) -> Split:
    """The class is which half of the image is brighter on the whole, under noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    pixels = rng.integers(60, 190, (n, 16, 16, 1))
    pixels[labels == 0, :8] += 25
    pixels[labels == 1, 8:] += 25
    return Split(ArrayImages(pixels.astype(np.uint8)), labels, tuple(map(str, range(n))))


class Forgets(nn.Module):
    """A step that keeps where it is bright, then one that forgets it."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps = nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")  # no border to tell the halves apart by
        self.forgets, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.forgets(self.keeps(x)).flatten(1))  # type: ignore[no-any-return]


def test_a_probe_finds_what_is_there_and_not_what_is_gone() -> None:
    torch.manual_seed(0)
    prepare = Preprocess(size=(16, 16), order="gray", mean=(0.5,), std=(0.5,))
    found = probe(Forgets(), planted(300, 0), planted(200, 1), prepare, ["keeps", "forgets"], classes=["up", "down"])
    image, keeps, forgets = found.probes
    assert image.accuracy.value > 0.95
    assert keeps.accuracy.value > 0.95
    assert forgets.accuracy.low < 0.55
    assert (keeps.features, forgets.features, keeps.shape) == (512, 2, (2, 16, 16))
    common = np.bincount(planted(300, 0).labels).argmax()
    assert found.chance == wilson(int((planted(200, 1).labels == common).sum()), 200)


def test_the_labels_of_the_test_images_have_no_part_in_it() -> None:
    train, test = planted(100, 0), planted(60, 1)
    turned = Split(test.images, 1 - test.labels, test.keys)
    prepare = Preprocess(size=(16, 16), order="gray", mean=(0.5,), std=(0.5,))
    torch.manual_seed(0)
    net = Forgets()
    a, b = (probe(net, train, t, prepare, ["keeps"], classes=["up", "down"]) for t in (test, turned))
    assert [(p.penalty, p.held_out) for p in a.probes] == [(p.penalty, p.held_out) for p in b.probes]
    assert [p.right for p in a.probes] == [60 - p.right for p in b.probes]


def test_memory_is_that_of_the_sums_and_of_two_thousand_images() -> None:
    learner = Learner(3, 64, torch.arange(5000) % 50 == 0, torch.arange(5000) % 3)
    for _ in learner.watching(torch.randn(50, 1, 16, 16) for _ in range(100)):
        pass
    (fit, aside), kept = learner.sums[IMAGE], learner.kept[IMAGE]
    assert (fit.xx.shape, aside.xt.shape) == ((64, 64), (64, 3))
    assert sum(len(x) for x in kept) == 100
    assert (fit.n, aside.n) == (4900, 100)


def test_wide_flat_steps_are_projected_and_maps_shrunk() -> None:
    assert shrunk(torch.zeros(1, 2, 1500), 7).shape == (1, 7)
    assert torch.equal(shrunk(torch.ones(1, 2, 1500), 7), shrunk(torch.ones(1, 2, 1500), 7))
    assert shrunk(torch.zeros(1, 2048)).shape == (1, 2048)
    assert shrunk(torch.zeros(1, 3, 224, 224)).shape == (1, 3 * 18 * 18)
    assert shrunk(torch.zeros(1, 3, 4, 9)).shape == (1, 3 * 4 * 9)
    x = torch.randn(40, 2500)
    small = shrunk(x, 800)
    before, after = torch.cdist(x, x), torch.cdist(small, small)
    off = ~torch.eye(40, dtype=torch.bool)
    assert ((after / before)[off] - 1).abs().max() < 0.15  # Johnson and Lindenstrauss


def test_the_model_is_as_it_was_and_mistakes_are_told() -> None:
    net = Forgets().train()
    prepare = Preprocess(size=(16, 16), order="gray", mean=(0.5,), std=(0.5,))
    with pytest.raises(UnknownName, match="no step 'kept'"):
        probe(net, planted(20, 0), planted(5, 1), prepare, ["kept"], classes=["up", "down"])
    with pytest.raises(DatasetError, match="expected at least 10 of 2, and 1"):
        probe(net, planted(6, 0), planted(5, 1), prepare, ["keeps"], classes=["up", "down"])
    with torch.no_grad():
        net.keeps.bias.fill_(torch.nan)
    with pytest.raises(ArtefactError, match="keeps puts out a value that is not finite"):
        probe(net, planted(20, 0), planted(5, 1), prepare, ["keeps"], classes=["up", "down"])
    assert all(part.training for part in net.modules())
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()) == 0
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("name", ["cifar_resnet20", "squeezenet1_1", "shufflenet_v2_x0_5", "alexnet"])
def test_layers_are_found_where_none_is_named(name: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    side = 64 if name != "cifar_resnet20" else 32
    pixels = rng.integers(0, 256, (12, side, side, 3), dtype=np.uint8)
    split = Split(ArrayImages(pixels), np.arange(12) % 2, tuple(map(str, range(12))))
    found = probe(
        create_model(name), split, split, Preprocess(size=(side, side)), classes=["a", "b"], most=64, workers=0
    )
    assert len(found.probes) >= 4
    assert ("classifier.1" in [p.step for p in found.probes]) == (name == "alexnet")
    with Image.open(io.BytesIO(found._repr_png_()), formats=["PNG"]) as picture:
        assert min(picture.size) > 300
