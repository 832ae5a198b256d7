"""The networks of the fastest roads."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.models.cost import cost
from striate.reproduce.fastest.networks import NETWORKS, Build, digits, norm, passing, photographs, whitened, whitening


@pytest.fixture(scope="module")
def correlated() -> torch.Tensor:
    """Images whose neighbours are alike."""
    noise = torch.randn(200, 3, 18, 18, generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool2d(noise, 3, stride=1)


def test_whitened_patches_are_uncorrelated_and_of_variance_1(correlated: torch.Tensor) -> None:
    filters = whitening(correlated, 2, least=0.0)
    assert filters.shape == (24, 3, 2, 2)
    seen = nn.functional.conv2d(correlated, filters[:12]).permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(seen @ seen.T / seen.shape[1], torch.eye(12), atol=1e-3)
    assert torch.equal(filters[12:], -filters[:12])


def test_fewer_filters_are_those_of_the_largest_variance(correlated: torch.Tensor) -> None:
    patches = nn.functional.unfold(correlated, 2).transpose(1, 2).flatten(0, 1).numpy()
    _, _, rows = np.linalg.svd(patches, full_matrices=False)  # falling
    few = whitening(correlated, 2, filters=6).flatten(1)[:3]
    few = few / few.norm(dim=1, keepdim=True)
    assert np.allclose(abs((few.numpy() * rows[:3]).sum(1)), 1, atol=1e-3)


def test_a_direction_of_noise_is_not_blown_up() -> None:
    flat = torch.ones(10, 1, 8, 8) * torch.randn(10, 1, 1, 1)  # all patches are constant
    assert whitening(flat, 2).abs().max() <= 5e-4**-0.5


def test_only_the_bias_of_the_first_filters_is_trained(correlated: torch.Tensor) -> None:
    conv = whitened(correlated, 2)
    assert [name for name, p in conv.named_parameters() if p.requires_grad] == ["bias"]


def test_a_convolution_passes_its_inputs_on_until_it_is_trained() -> None:
    x = torch.randn(2, 4, 5, 5)
    assert torch.allclose(passing(4, 9)(x)[:, :4], x, atol=1e-6)


def test_batch_norm_has_a_bias_and_no_scale() -> None:
    assert [name for name, p in norm(3).named_parameters() if p.requires_grad] == ["bias"]


@pytest.mark.parametrize(
    ("build", "shape", "expected"), [(photographs, (3, 32, 32), 118.1), (digits, (1, 28, 28), 3.6)]
)
def test_networks_give_logits_and_cost_what_their_docstrings_say(
    build: Build, shape: tuple[int, int, int], expected: float
) -> None:
    network = build(torch.randn(50, *shape), 10).eval()
    assert network(torch.randn(2, *shape)).shape == (2, 10)
    assert round(cost(network, shape).macs / 1e6, 1) == expected
    assert f"{expected} million" in (build.__doc__ or "")


def test_every_network_has_a_name() -> None:
    assert set(NETWORKS) == {"photographs", "digits"}
