"""Real published weights in the form they were trained in, whatever the new head tells apart."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from striate.models.registry import entry
from striate.run.folder import ModelSpec
from striate.run.pretrained import pretrained
from striate.training.transfer.source import fill, open_source

FILES = [
    ("squeezenet1_0", "imagenet_squeezenet1_0_deepcompressed", {}, {"classifier.1.padding"}),
    ("mobilenet_v1_0.25_128", "imagenet_mobilenet_v1_0.25_128_uint8", {"tensorflow": True}, set()),
    ("cifar_resnet20", "cifar10_resnet20_akamaster", {}, set()),
]


def given_to(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    found: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_pre_hook(lambda _, given: found.append(given[0]))
    with torch.no_grad():
        network.eval()(images)
    hook.remove()
    return found[0]


@pytest.mark.parametrize(("model", "file", "options", "constants"), FILES)
def test_what_reaches_the_new_head_is_what_reaches_the_published_one(
    shared: Path, model: str, file: str, options: dict[str, bool], constants: set[str]
) -> None:
    path = shared / "weights" / f"{file}.safetensors"
    source = open_source(model, str(path))
    assert dict(source.options) == options
    assert set(source.constants) == constants
    arguments = {"num_classes": 3, "in_chans": 3, "input_size": source.preprocess.size, **source.options}
    spec = ModelSpec(model, arguments, source.constants)
    torch.manual_seed(0)
    network, published = spec.build(), pretrained(model, path)
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    filled = fill(network, source, spec, ("a", "b", "c"), "all")
    head = entry(model).head
    assert filled.fresh == (head,)
    assert all(torch.equal(fresh[n], t) for n, t in network.state_dict().items() if n.startswith(f"{head}."))
    images = torch.randn(2, 3, *source.preprocess.size)
    assert torch.equal(given_to(network, head, images), given_to(published.module, head, images))
    assert source.preprocess == published.preprocess
