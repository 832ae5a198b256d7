"""Which steps are seen, and which of them are chosen."""

import pytest
import torch
from torch import Tensor, nn

from striate.blocks.wiring import Append, Chain, Gate
from striate.look.activations.steps import Step, folded, makers, stages, steps_of
from striate.models.registry import create_model, entry


def test_steps_come_in_order_and_what_only_hands_on_is_told_apart(stranger: nn.Module) -> None:
    seen = steps_of(stranger, torch.randn(2, 3, 8, 8))
    assert [(step.name, step.makes) for step in seen.found] == [
        ("conv1", True), ("relu", True), ("drop", False), ("pool", True), ("conv2", True), ("relu:2", True),
        ("fc", True), ("(output)", False),
    ]  # fmt: skip
    assert seen.found[0] == Step("conv1", "Conv2d", "3×3 conv", (6, 8, 8), False, True)
    assert seen.notes == ["the network calls relu without a layer, which is no step to be seen"]


def test_a_block_counts_where_it_makes_something_of_its_own() -> None:
    net = nn.Sequential(Append(Chain(nn.Conv2d(2, 3, 1), nn.ReLU())), Gate(a=nn.Sigmoid()), nn.Identity(), nn.Flatten())
    found = steps_of(net, torch.randn(1, 2, 4, 4)).found
    assert [step.name for step in makers(found)] == ["0.0.0", "0.0.1", "0", "1.a", "1"]
    assert [step.shape[0] for step in makers(found)] == [3, 3, 5, 5, 5]


def test_an_identity_behind_a_sum_shows_the_sum() -> None:
    net = create_model("mobilenet_v2").eval()
    made = {step.name for step in makers(steps_of(net, torch.randn(1, 3, 32, 32)).found)}
    assert "features.3.last" in made  # x + F(x), which no layer puts out
    assert "features.2.last" not in made


def test_what_the_network_does_after_its_last_step_is_its_output() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.fc(x.flatten(1)))

    found = steps_of(Functional(), torch.randn(1, 1, 2, 2))
    assert [step.name for step in makers(found.found)] == ["fc", "(output)"]
    assert "calls tanh without a layer" in found.notes[0]


def test_what_can_not_be_shown_is_said() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 4, batch_first=True)
            self.table = nn.Embedding(3, 4)
            self.norm = nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            y, _ = self.lstm(x[:, 0])
            return self.norm(y + self.table(torch.arange(3))[:1])

    told = " ".join(steps_of(Odd(), torch.randn(2, 1, 4, 4)).notes)
    assert "lstm puts out a tuple" in told
    assert "table puts out (3, 4), which is not one thing an image" in told
    assert "channels last" in told


STAGES = {  # the last step of each resolution, as the tables of the papers have them
    "resnet50": ["relu", "layer1", "layer2", "layer3", "layer4"],
    "mobilenet_v2": ["features.1", "features.3", "features.6", "features.13", "features"],
    "cifar_resnet20": ["layer1", "layer2", "layer3"],
    "squeezenet1_1": ["features.1", "features.4", "features.7", "features"],
    "efficientnet_b0": ["features.1", "features.2", "features.3", "features.5", "features"],
}


@pytest.mark.parametrize("name", STAGES)
def test_stages_are_the_last_steps_of_each_resolution(name: str) -> None:
    found = steps_of(create_model(name).eval(), torch.randn(1, 3, *([min(96, entry(name).input[1])] * 2))).found
    assert [step.name for step in stages(found)] == STAGES[name]


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "resnet50v2", "mobilenet_v1_0.25_128", "cifar_densenet_bc100"])
def test_stages_found_by_running_are_the_features_found_in_the_declared_graph(name: str) -> None:
    side = min(96, entry(name).input[1])
    found = stages(steps_of(create_model(name).eval(), torch.randn(1, 3, side, side)).found)
    features = create_model(name, features_only=True)
    assert [step.shape[0] for step in found] == list(features.channels)
    assert [side // step.shape[1] for step in found] == list(features.reductions)


def step(name: str, *shape: int, kind: str = "Conv2d") -> Step:
    return Step(name, kind, kind, shape, False, True)


def test_of_blocks_alike_in_a_row_the_last_stays() -> None:
    def block(name: str, c: int, side: int) -> list[Step]:
        return [step(f"{name}.conv", c, side, side), step(f"{name}.relu", c, side, side, kind="ReLU")]

    steps = [step("stem", 4, 8, 8), *block("body.0", 4, 4), *block("body.1", 8, 4), *block("body.2", 12, 4),
             *block("body.3", 12, 2), step("fc", 10)]  # fmt: skip
    kept, folds = folded(steps)
    assert [one.name for one in kept] == [
        "stem", "body.2.conv", "body.2.relu", "body.3.conv", "body.3.relu", "fc",
    ]  # fmt: skip
    assert [(fold.shown, fold.like) for fold in folds] == [("body.2", ("body.0", "body.1"))]


def test_single_layers_in_a_row_are_not_folded() -> None:
    steps = [step(f"features.{i}", 4, 8, 8) for i in range(4)]
    kept, folds = folded(steps)
    assert kept == steps
    assert folds == []


def test_a_network_of_54_blocks_folds_to_a_few() -> None:
    found = steps_of(create_model("cifar_resnet110").eval(), torch.randn(1, 3, 8, 8)).found
    kept, folds = folded(found)
    assert len(makers(found)) > 320
    assert len(kept) < 50
    assert {step.name for step in kept} <= {step.name for step in makers(found)}
    names = [name for fold in folds for name in (*fold.like, fold.shown)]
    assert len(names) == len(set(names))


def test_many_blocks_that_call_the_same_are_told_in_one_sentence() -> None:
    class Rectified(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.relu(self.conv(x), inplace=True)

    (told,) = steps_of(nn.Sequential(*[Rectified() for _ in range(5)]), torch.randn(1, 2, 3, 3)).notes
    assert told == "0, 1, 2 and 2 others call relu without a layer, which is no step to be seen"
