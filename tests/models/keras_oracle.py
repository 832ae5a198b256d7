"""Build a network of Keras, give it random weights, and write them, and its logits, to a file.

    python tests/models/keras_oracle.py MobileNet '{"alpha": 0.5}' images.npy OUT.npz

runs in a Python that has Keras 3 with a backend; Striate need not be there. images.npy is (N, H, W, C), in the
precision that all is computed in. The layers are numbered as they were made, which is the order of the code that makes
them, branch after branch.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

made: list[Any] = []  # layers with weights
# What norms multiply by and add. A norm and a ReLU that cuts half of the values make two images, and two roundings of
# one, more different at every layer: by a hundred times through MobileNet. One that cuts fewer values does not.
HARSH = (0.5, 2.5), (-1.0, 1.0)  # values beyond 6, for the ReLUs that end there
GENTLE = (0.5, 1.5), (-0.25, 1.5)
STEADY = ("Xception",)  # no ReLU cuts what its blocks hand on; gentle norms make its logits nearly one for all images


def noted(kind: Any) -> None:
    """Have every layer of a kind added to the list when it is first used."""
    build = kind.build

    def build_and_note(layer: Any, input_shape: Any) -> None:
        build(layer, input_shape)
        made.append(layer)

    kind.build = build_and_note


for kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "BatchNormalization", "Dense"):
    noted(getattr(keras.layers, kind))


def filled(name: str, options: dict[str, Any], x: np.ndarray) -> Any:
    """The network in evaluation, its norms with the statistics of the images."""
    keras.utils.set_random_seed(7)
    builder = getattr(keras.applications, name)
    model = builder(weights=None, input_shape=x.shape[1:], classifier_activation=None, **options)
    numbers = np.random.default_rng(7)
    gain, shift = GENTLE if x.dtype == np.float32 and name not in STEADY else HARSH
    norms = [layer for layer in made if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # all of this batch's
        if layer.gamma is not None:
            layer.gamma.assign(numbers.uniform(*gain, layer.gamma.shape))
        layer.beta.assign(numbers.uniform(*shift, layer.beta.shape))
    for layer in made:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(numbers.uniform(-0.5, 0.5, layer.bias.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model(x, training=True)
    return model


def main(name: str, options: str, images: str, out: str) -> None:
    x = np.load(images)
    keras.config.set_floatx(str(x.dtype))
    model = filled(name, json.loads(options), x)
    arrays = {"logits": np.asarray(keras.ops.convert_to_numpy(model(x[:2], training=False)))}
    for number, layer in enumerate(made):
        for weight in layer.weights:
            key = f"{number:04d}/{layer.name}/{type(layer).__name__}/{weight.name}"
            arrays[key] = keras.ops.convert_to_numpy(weight)
    np.savez(Path(out), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
