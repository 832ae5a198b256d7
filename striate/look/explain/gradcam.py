"""Grad-CAM: where in the image is the evidence for a class?

    a[n,k]      = mean over i,j of  d score / d A[n,k,i,j]       weight of channel k
    cam[n,i,j]  = relu(sum over k of  a[n,k] * A[n,k,i,j])       A: output of the last spatial layer

The score is the logit of the class; with a sigmoid head (one logit z, two classes) it is z for class 1, -z for class 0.

Source:  Selvaraju et al. 2016, arXiv:1610.02391, eq. 1 and 2.
Differs: each map is divided by its maximum, so that it lies in 0..1, and where nothing is positive, that is said.
"""

from torch import Tensor, nn

from striate.look.explain.at_layer import Evidence, last_spatial_layer, weigh

__all__ = ["Evidence", "gradcam", "last_spatial_layer"]


def gradcam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Evidence:
    """Normalised images (N, c, H, W), target (N,) classes, or None for the predicted ones -> one map an image.

    `layer` is a step that puts out maps (N, k, h, w); None finds the last one (`last_spatial_layer`).
    Runs in evaluation mode; parameters, their gradients, modes and hooks are afterwards as they were. Works for
    frozen parameters, inside `torch.no_grad()` and on any device: the graph begins at the layer itself.

    Raises: UnknownName for a layer that is not there; ShapeError for one that puts out no maps, or did not run.
    """
    found = weigh(module, images, classes, layer, target)
    return found.evidence((found.g.mean(dim=(2, 3), keepdim=True) * found.a).sum(1))
