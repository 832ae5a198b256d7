"""A network by hand: its logits and the gradient of every parameter from the formulas in `math/`, without autograd.

The network is walked in the order that its wirings declare; each layer is its operation of `math/`, forward and back.
torch holds the parameters, and draws the masks of dropout as the network itself would draw them; nothing else. So what
comes out equals what torch computes if the wirings, the formulas and the network are right, all of them at once.

Checked: every parameter's gradient against autograd's over the zoo in tests/look/test_by_hand.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.look.by_hand.tape import Value, Walk, as_array, given
from striate.look.by_hand.wirings import step
from striate.math import (
    binary_cross_entropy,
    class_mask,
    cross_entropy,
    flatten,
    margin_loss,
    reconstruction_loss,
    sigmoid,
)
from striate.math.arrays import Array, Whole
from striate.models.capsnet import CapsNet

Masks = Mapping[str, Array | Tensor]


@dataclass(frozen=True)
class ByHand:
    """What a pass computed. Steps and parameters have the names that they have in the model."""

    logits: Array  # (N, K)
    heads: dict[str, Array]  # the logits of auxiliary heads, which run in training, by field
    loss: float | None  # if labels were given
    gradients: dict[str, Array]  # of every parameter that the loss depends on and that is to be trained
    activations: dict[str, Array]  # what each step made, in the order in which they finished
    deltas: dict[str, Array]  # the gradient of the loss for each activation; none where it does not depend on it
    dx: Array | None  # the gradient for the images
    running: dict[str, Array]  # running averages of batch norms as they are after this pass, by buffer
    masks: dict[str, Array]  # what dropout and stochastic depth drew, by step: give them again for the same pass


def by_hand(
    model: nn.Module,
    x: Array | Tensor,
    labels: Whole | Tensor | None = None,
    *,
    g: Array | Tensor | Mapping[str, Array | Tensor] | None = None,
    masks: Masks | None = None,
) -> ByHand:
    """Logits of x (N, C, H, W), and the gradients of a loss, from formulas alone; the model is left as it is.

    With labels (N,) the loss is their mean cross-entropy (binary for one logit), to which each auxiliary head adds its
    paper's share. With g it is any: g is dL/dlogits (N, K), or such an array for each of the fields that the model puts
    out (`{"logits": ..., "aux_logits1": ...}`). With neither, there are no gradients. Layers are in training or in
    evaluation as the model is. Computed in the type of the parameters, float32 or float64.

    Masks of dropout (of the shape of its input) and of stochastic depth (one number an image, or a block) may be given
    by step. The others are drawn as torch would: after the same `torch.manual_seed` they are those of `model(x)`.

    >>> import torch
    >>> from striate.models.registry import create_model
    >>> net, x, labels = create_model("lenet5").double(), torch.rand(2, 1, 32, 32).double(), torch.tensor([3, 8])
    >>> ours = by_hand(net, x, labels)
    >>> torch.nn.functional.cross_entropy(net(x), labels).backward()
    >>> bool(np.allclose(ours.gradients["C1.weight"], net.get_parameter("C1.weight").grad, rtol=1e-10, atol=1e-15))
    True

    Raises: UnknownName for a layer without an operation, or one whose order of steps is not declared; ShapeError for
    images, labels or g that do not fit; UsageError for parameters of another type, or labels and g at once.
    """
    if labels is not None and g is not None:
        raise UsageError("both labels and g are given; expected the one or the other")
    walk, images, y = _forward(model, x, masks)
    loss = None
    if labels is not None:
        whole = _labels(labels, y.array)
        loss, y.g = _cross_entropy(y.array, whole)
        for head in walk.heads.values():
            aside, dz = _cross_entropy(head.array, whole)
            loss, head.g = loss + walk.head_share * aside, (walk.head_share * dz).astype(dz.dtype)
    elif g is not None:
        _receive(walk, y, g)
    return _result(walk, images, y, loss)


def capsnet_by_hand(model: CapsNet, x: Array | Tensor, labels: Whole | Tensor, targets: Array | None = None) -> ByHand:
    """The capsule network with its own loss: margin loss plus 0.0005 of the error of the redrawn images.

    x (N, C, H, W), labels (N,); targets are the images in 0..1 if x is normalised otherwise. The decoder draws from the
    capsules of the right classes, so every parameter has a gradient.

    Source: Sabour, Frosst & Hinton 2017, arXiv:1710.09829, section 4.1.
    """
    walk, images, y = _forward(model, x, None)
    whole = _labels(labels, y.array)
    capsules = walk.made["digit_caps"]
    one = walk.note(class_mask.forward(capsules.array, whole), lambda g: (class_mask.backward(g, whole),), capsules)
    row = walk.note(flatten.forward(one.array), lambda g: (flatten.backward(g, one.array),), one)
    drawn = step(walk, "decoder", model.decoder, row)
    pixels = flatten.forward(images.array if targets is None else np.asarray(targets, images.array.dtype))
    error = reconstruction_loss.forward(drawn.array, pixels)
    drawn.g = reconstruction_loss.backward(reconstruction_loss.WEIGHT, drawn.array, pixels)
    lengths = sigmoid.forward(y.array)  # as the zoo's margin_loss takes them: back from the logits
    t = cross_entropy.smoothed(whole, y.array.shape[1]).astype(lengths.dtype)
    y.g = sigmoid.backward(margin_loss.backward(1.0, lengths, t), y.array)
    return _result(walk, images, y, margin_loss.forward(lengths, t) + reconstruction_loss.WEIGHT * error)


def hand_over(ours: ByHand, model: nn.Module) -> None:
    """Leave a model as a training pass and `loss.backward()` would: gradients in `.grad`, running averages moved on.

    What is in `.grad` already is added to. Any optimiser of torch can take the step then.

    Raises: UnknownName if the model has not the parameters that were computed.
    """
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    if absent := [name for name in (*ours.gradients, *ours.running) if name not in parameters | buffers]:
        raise UnknownName(f"the model has no {absent[0]!r}{suggest(absent[0], parameters | buffers)}")
    for name, d in ours.gradients.items():
        g, p = torch.from_numpy(np.ascontiguousarray(d)).to(parameters[name]), parameters[name]
        p.grad = g if p.grad is None else p.grad + g
    for name, average in ours.running.items():
        buffers[name].copy_(torch.from_numpy(average))
        if name.endswith("running_mean"):
            buffers[name.removesuffix("running_mean") + "num_batches_tracked"] += 1


def _forward(model: nn.Module, x: Array | Tensor, masks: Masks | None) -> tuple[Walk, Value, Value]:
    types = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()}) or ["float64"]
    if types not in (["float32"], ["float64"]):
        raise UsageError(f"the parameters are {', '.join(types)}; expected all in float32, or all in float64")
    images = Value(np.asarray(as_array(x) if isinstance(x, Tensor) else x, types[0]))
    walk = Walk(given(masks))
    return walk, images, step(walk, "", model, images)


def _labels(labels: Whole | Tensor, logits: Array) -> Whole:
    whole: Whole = np.asarray(labels.cpu().numpy() if isinstance(labels, Tensor) else labels)
    if whole.shape != logits.shape[:1] or not np.issubdtype(whole.dtype, np.integer):
        raise ShapeError(f"labels are {whole.dtype} of the shape {whole.shape}; expected {len(logits)} whole numbers")
    return whole


def _cross_entropy(z: Array, labels: Whole) -> tuple[float, Array]:
    """The loss, and its gradient for the logits."""
    if z.shape[1] == 1:
        t = labels[:, None].astype(z.dtype)
        return binary_cross_entropy.forward(z, t), binary_cross_entropy.backward(1.0, z, t)
    t = cross_entropy.smoothed(labels, z.shape[1])
    return cross_entropy.forward(z, t), cross_entropy.backward(1.0, z, t)


def _receive(walk: Walk, y: Value, g: Array | Tensor | Mapping[str, Array | Tensor]) -> None:
    outputs = {"logits": y} | walk.heads
    for name, d in (g if isinstance(g, Mapping) else {"logits": g}).items():
        if name not in outputs:
            raise UsageError(f"g is given for {name!r}; the model puts out {', '.join(outputs)}")
        d = np.asarray(as_array(d) if isinstance(d, Tensor) else d, y.array.dtype)
        if d.shape != outputs[name].array.shape:
            raise ShapeError(f"g for {name} has the shape {d.shape}; expected that of it, {outputs[name].array.shape}")
        outputs[name].g = d


def _result(walk: Walk, images: Value, y: Value, loss: float | None) -> ByHand:
    walk.back()
    return ByHand(
        logits=y.array,
        heads={name: head.array for name, head in walk.heads.items()},
        loss=loss,
        gradients=walk.gradients,
        activations={name: value.array for name, value in walk.made.items() if name},
        deltas={name: value.g for name, value in walk.made.items() if name and value.g is not None},
        dx=images.g,
        running=walk.running,
        masks=walk.masks,
    )
