"""Other ways to weigh the maps of a layer: CAM, Grad-CAM++, LayerCAM and Score-CAM. `gradcam` beside it has Grad-CAM.

A is what the layer put out, g = d score / d A, and every map is relu(...), divided by its largest value:

    CAM         sum over k of  w[c,k] * A[k,i,j]                       w: the linear layer behind a global mean
    Grad-CAM++  sum over k of  A[k,i,j] * sum over a,b of  α[k,a,b] * relu(g[k,a,b])
                α = g² / (2 g² + g³ * sum over a,b of A[k,a,b])        0 where g is 0
    LayerCAM    sum over k of  relu(g[k,i,j]) * A[k,i,j]               each place has its own weight: early layers, too
    Score-CAM   sum over k of  softmax over k of (f(x * M[k]) - f(0)) * A[k,i,j]
                M[k]: A[k] enlarged to the image and scaled to 0..1    no gradient; one pass of the network a channel

f is the logit of the class, and 0 is the mean colour of the training set, since images are normalised.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ShapeError
from striate.look.explain.at_layer import Evidence, Weighed, weigh
from striate.look.explain.score import logits, on_device_of, score
from striate.run.inference import evaluating


def gradcam_plus_plus(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Evidence:
    """Grad-CAM with a weight for each place of a channel; arguments and errors as `gradcam`.

    Source: Chattopadhyay et al. 2017, arXiv:1710.11063, eq. 19; the factor exp(score) that they have divides out.
    """
    found = weigh(module, images, classes, layer, target)
    a, g = found.a, found.g
    below = 2 * g**2 + a.sum(dim=(2, 3), keepdim=True) * g**3
    share = torch.where(below == 0, 0.0, g**2 / torch.where(below == 0, 1.0, below))
    return found.evidence(((share * g.relu()).sum(dim=(2, 3), keepdim=True) * a).sum(1))


def layer_cam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Evidence:
    """Each value of the maps weighed by its own positive gradient; arguments and errors as `gradcam`.

    Source: Jiang et al. 2021, "LayerCAM", IEEE TIP 30, eq. 6 and 7.
    """
    found = weigh(module, images, classes, layer, target)
    return found.evidence((found.g.relu() * found.a).sum(1))


def cam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Evidence:
    """The maps weighed by the linear layer that reads their means; arguments as `gradcam`.

    Source:  Zhou et al. 2015, arXiv:1512.04150, eq. 2; for maps that are the classes themselves Lin et al. 2013.
    Differs: what is negative is left out, as in Grad-CAM. The two are then the same map.
    Raises:  ShapeError where the logits are no linear function of the means of the layer's maps.
    """
    found = weigh(module, images, classes, layer, target)
    weight = _behind_the_mean(module, images, classes, found)
    if weight.shape[0] == 1:
        w = torch.where(found.target == 1, 1.0, -1.0)[:, None].to(weight) * weight
    else:
        w = weight[found.target]
    return found.evidence(torch.einsum("nk,nkij->nij", w, found.a))


def _behind_the_mean(module: nn.Module, images: Tensor, classes: int, found: Weighed) -> Tensor:
    """The matrix (logits, k) that makes logits of the means of the maps, checked on the images themselves."""
    with torch.inference_mode(False), evaluating(module):
        z = logits(module, on_device_of(module, images), classes).to(found.a)
    means = found.a.mean(dim=(2, 3))
    candidates: list[tuple[Tensor, Tensor]] = []
    if found.a.shape[1] == z.shape[1]:
        candidates.append((torch.eye(z.shape[1]).to(means), torch.zeros(z.shape[1]).to(means)))
    for part in module.modules():
        w = part.weight.detach() if isinstance(part, nn.Linear | nn.Conv2d) else None
        if w is not None and w[0].numel() == w.shape[1] == means.shape[1] and len(w) == z.shape[1]:
            bias = part.bias.detach().to(means) if isinstance(part.bias, Tensor) else torch.zeros(len(w)).to(means)
            candidates.append((w.flatten(1).to(means), bias))
    for weight, bias in candidates:
        if torch.allclose(means @ weight.T + bias, z, rtol=1e-3, atol=1e-3 * float(z.abs().max())):
            return weight
    raise ShapeError(
        f"the logits are no linear function of the means of what {found.layer!r} puts out, so CAM has no weights to "
        "read; Grad-CAM (gradcam) needs none"
    )


def score_cam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None,
    batch: int = 64,
) -> Evidence:  # fmt: skip
    """Each map weighed by what the network says of the image seen through it; `batch` masked images at a time.

    Source:  Wang et al. 2019, arXiv:1910.01279, eq. 2 to 6.
    Differs: maps that are the same everywhere show nothing, get no weight and cost no pass.
    Raises:  as `gradcam`.
    """
    found = weigh(module, images, classes, layer, target)
    x = on_device_of(module, images)
    cams = []
    with torch.inference_mode(False), evaluating(module):
        for image, a, k in zip(x, found.a, found.target, strict=True):
            masks = functional.interpolate(a[None], size=image.shape[1:], mode="bilinear")[0]
            low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
            tells = (high > low).flatten()
            scaled = ((masks - low) / (high - low))[tells].to(image)
            empty = score(logits(module, torch.zeros_like(image)[None], classes), k[None])
            gains = [
                score(logits(module, image * some[:, None], classes), k.expand(len(some))) - empty
                for some in torch.split(scaled, batch)
            ]
            weight = torch.zeros(len(a)).to(a)
            if gains:
                weight[tells] = torch.cat(gains).to(a).softmax(0)
            cams.append(torch.einsum("k,kij->ij", weight, a))
    return found.evidence(torch.stack(cams))
