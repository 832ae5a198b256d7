"""The layer table as text, JSON and page."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import ArtefactError, ShapeError, UnknownName, UsageError
from striate.look.costs.summary import summarise, summary

LENET = """\
lenet5 (1998, doi:10.1109/5.726791), image 1×32×32

layer    kind           output    parameters     MACs   memory     kept  field
C1       5×5 conv       6×28×28          156  117,600  18.8 kB   4.1 kB    5/1
tanh1    tanh           6×28×28                        18.8 kB  18.8 kB    5/1
S2       2×2 mean pool  6×14×14                         4.7 kB             6/2
tanh2    tanh           6×14×14                         4.7 kB   4.7 kB    6/2
C3       5×5 conv       16×10×10       2,416  240,000   6.4 kB            14/2
tanh3    tanh           16×10×10                        6.4 kB   6.4 kB   14/2
S4       2×2 mean pool  16×5×5                          1.6 kB            16/4
tanh4    tanh           16×5×5                          1.6 kB   1.6 kB   16/4
C5       5×5 conv       120×1×1       48,120   48,000    480 B            32/4
tanh5    tanh           120×1×1                          480 B    480 B   32/4
flatten  flatten        120                                                 32
F6       linear         84            10,164   10,080    336 B              32
tanh6    tanh           84                               336 B    336 B     32
output   linear         10               850      840     40 B              32

parameters    61,706  246.8 kB with buffers
buffers            0  running statistics; Keras counts them, too: 61,706 in total
MACs         416,520  833.0 kFLOPs, where a multiply-add counts as two operations
activations   16,178  64.7 kB for one image, if all are kept
backward              36.4 kB for one image wait for the backward pass of a training step
"""


def test_the_table_of_lenet5_is_this_one() -> None:
    assert str(summary("lenet5"))[: len(LENET)] == LENET


@pytest.mark.parametrize("name", ["lenet5", "deck_cats_dogs", "cifar_resnet20", "resnet50", "vgg16", "alexnet"])
def test_every_layer_has_its_line_where_that_is_asked_for(name: str) -> None:
    found = summary(name)
    lines = found.text(every=True).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line.endswith(" ") for line in lines)
    assert [line.split()[0] for line in lines[3 : 3 + len(found.cost.rows)]] == [row.name for row in found.cost.rows]


@pytest.mark.parametrize("width", [44, 60, 80, 100])
@pytest.mark.parametrize("name", ["lenet5", "densenet121"])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    text = summary(name, batch=4).text(width=width)
    assert max(map(len, text.splitlines())) <= width


def test_a_deep_network_stays_readable() -> None:
    text = str(summary("resnet152"))
    assert len(text.splitlines()) < 120
    assert "layer3.2 … 35" in text
    assert "34× like 1" in text
    assert "511 layers in 95 lines; --every shows each layer." in text


def test_the_conventions_are_printed() -> None:
    text = str(summary("cifar_resnet20"))
    assert "Batch 1, evaluation mode; MACs are the multiply-adds of convolution and linear layers." in text
    assert "Keras counts them, too: 271,098 in total" in text


def test_memory_for_a_batch_is_told_if_a_batch_is_given() -> None:
    found = summary("lenet5", batch=32, optimizer="adam")
    assert found.need is not None
    assert found.need.training.optimizer == 2 * 61_706 * 4
    text = str(found)
    assert "Memory for a batch of 32, Adam" in text
    assert "optimiser      493.6 kB" in text
    assert json.loads(json.dumps(found.to_json()))["memory"]["training"]["gradients"] == 61_706 * 4
    assert "Memory for a batch" not in str(summary("lenet5"))


def test_a_network_that_can_not_learn_from_one_image_says_so() -> None:
    class Normed(nn.Sequential):
        pass

    net = Normed(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    with pytest.raises(UsageError, match="can't be trained on a batch of 1"):
        summary(net, (1, 2, 2), batch=1)
    assert summary(net, (1, 2, 2)).kept > 0


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    net = nn.Sequential()
    net.add_module("<b>1", nn.Conv2d(1, 2, 3))
    page = summary(net, (1, 8, 8), batch=2).html()
    assert page.startswith("<!doctype html>")
    assert "&lt;b&gt;1" in page
    assert "<b>1" not in page
    assert not re.search(r"<script|<link|src=|url\(|@import", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "<svg" in page


def test_a_notebook_shows_the_table_within_a_box_of_its_own() -> None:
    shown = summary("lenet5")._repr_html_()
    assert shown.count('<div class="striate">') == 1
    assert "117,600" in shown
    assert "<html" not in shown


def test_another_size_changes_the_costs_and_not_the_parameters() -> None:
    small, large = summary("resnet18", (3, 64, 64)).cost, summary("resnet18", (3, 128, 128)).cost
    assert small.parameters == large.parameters
    assert large.macs > 3.9 * small.macs


def test_channels_of_the_shape_are_the_channels_of_the_model() -> None:
    assert summary("resnet18", (1, 64, 64)).cost.rows[0].trainable == 64 * 49


def test_a_flattening_model_is_built_for_the_size() -> None:
    assert summary("lenet5", (1, 36, 36)).cost.parameters == 61_706 + 3 * 120 * 84


def test_a_module_is_summarised_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).train()
    found = summary(module, (3, 8, 8))
    assert [row.name for row in found.cost.rows] == ["0", "1"]
    assert module.training
    assert str(found).startswith("Sequential (a module), image 3×8×8")


def test_frozen_parameters_layers_that_do_not_run_and_unknown_fields_are_said() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.idle = nn.Conv2d(1, 1, 3).requires_grad_(False), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).flip(-1)

    text = str(summary(Odd(), (1, 8, 8)))
    assert "10 of them frozen" in text
    assert "Note: idle did not run, its parameters count." in text
    assert "Note: receptive fields could not be followed through aten.flip" in text


def test_json_is_what_the_table_shows() -> None:
    found = summary("deck_mnist_convnet")
    stored = json.loads(json.dumps(found.to_json()))
    assert stored["name"] == "deck_mnist_convnet"
    assert stored["totals"]["parameters"] == 93_322
    assert [row["name"] for row in stored["rows"]] == [row.name for row in found.cost.rows]
    assert sum(row["kept"] for row in stored["rows"]) == stored["totals"]["kept"] == found.kept
    assert stored["totals"]["flops"] == 2 * found.cost.macs


def test_what_can_not_be_summarised_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lenet5'"):
        summary("lenet")
    with pytest.raises(UsageError, match="input_shape is missing"):
        summary(nn.Identity())
    with pytest.raises(ShapeError, match="smallest are 32×32"):
        summary("lenet5", (1, 28, 28))


class TestSummarise:
    """What the command line asks for: a name or a run folder, and numbers that replace the paper's."""

    def test_a_name_with_other_numbers(self) -> None:
        found = summarise("resnet18", size=64, in_chans=1, num_classes=5).cost
        assert found.input == (1, 64, 64)
        assert found.rows[-1].output == (5,)

    def test_a_name_alone_is_the_papers(self) -> None:
        assert summarise("mnist_convnet") == summary("deck_mnist_convnet")

    def test_a_run_is_summarised_as_it_was_trained(self, tmp_path: Path) -> None:
        from striate.data.preprocess import Preprocess
        from striate.run.folder import Identity, ModelSpec, write_identity

        spec = ModelSpec("lenet5", {"num_classes": 3, "in_chans": 1, "input_size": [40, 40]})
        pre = Preprocess(size=(40, 40), order="gray", mean=(0.5,), std=(0.5,))
        write_identity(tmp_path, Identity(spec, ("a", "b", "c"), pre), {})
        found = summarise(str(tmp_path))
        assert found.cost.input == (1, 40, 40)
        assert found.cost.rows[-1].output == (3,)
        assert tmp_path.name in str(found).splitlines()[0]

    def test_a_folder_that_is_no_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ArtefactError, match="not a run"):
            summarise(str(tmp_path))
