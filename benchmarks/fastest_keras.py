"""A tutorial's convnet with Keras on MNIST until it is right often enough. Runs in the Python that has Keras.

Prints the seconds from the start of the process (given by --began) to the end of the first epoch after which the
accuracy on the test images is reached, and all accuracies. The time of that measuring does not count.
"""

import json
import os
import time
from argparse import ArgumentParser
from pathlib import Path

import mnist

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from keras import layers


def book() -> tuple[keras.Model, str, int]:
    """Chollet, Deep Learning with Python, section 5.1; the lectures print it."""
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax"),
    ]), "rmsprop", 64  # fmt: skip


def documentation() -> tuple[keras.Model, str, int]:
    """The MNIST convnet among the code examples of Keras' documentation."""
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
    ]), "adam", 128  # fmt: skip


NETWORKS = {"book": book, "documentation": documentation}


class UntilRight(keras.callbacks.Callback):
    def __init__(self, x, y, goal: float, began: float) -> None:
        super().__init__()
        self.images, self.labels, self.goal, self.began = x, y, goal, began
        self.measuring, self.rows = 0.0, []

    def on_epoch_end(self, epoch, logs=None) -> None:
        ended = time.time()
        accuracy = 100 * self.model.evaluate(self.images, self.labels, batch_size=1000, verbose=0)[1]
        self.rows.append({"seconds": ended - self.began - self.measuring, "accuracy": accuracy})
        self.model.stop_training = accuracy >= self.goal
        self.measuring += time.time() - ended


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--began", type=float, required=True, help="time.time() when the process was started")
    parser.add_argument("--goal", type=float, default=99.3)
    parser.add_argument("--most", type=int, default=16, help="epochs after which it gives up")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    (x, y), (x_test, y_test) = (mnist.read(options.data_dir, role) for role in ("train", "test"))
    x, x_test = (images[..., None].astype("float32") / 255 for images in (x, x_test))
    model, optimiser, batch = NETWORKS[options.network]()
    model.compile(optimizer=optimiser, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = UntilRight(x_test, y_test, options.goal, options.began)
    model.fit(x, y, batch_size=batch, epochs=options.most, verbose=0, callbacks=[clock])
    reached = clock.rows[-1]["accuracy"] >= options.goal
    answer = {"reached": reached, "seconds": clock.rows[-1]["seconds"], "epochs": clock.rows}
    print(
        json.dumps(
            answer
            | {
                "versions": {
                    "keras": keras.__version__,
                    keras.backend.backend(): __import__(keras.backend.backend()).__version__,
                }
            }
        )
    )


if __name__ == "__main__":
    main()
