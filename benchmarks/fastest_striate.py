"""One run of a fastest road in a process of its own: accuracy, and seconds from the start of the process."""

import json
import time
from argparse import ArgumentParser
from pathlib import Path

from measure import ROOT


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=["fastest_mnist", "fastest_cifar10"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--began", type=float, required=True, help="time.time() when the process was started")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from striate.data.sources import open_dataset
    from striate.reproduce.fastest.run import run_once
    from striate.reproduce.fastest.way import Way
    from striate.reproduce.reading import open_experiment
    from striate.training.machine import settle, survey
    from striate.training.report import Report

    machine = survey()
    settle(machine)
    way = open_experiment(ROOT / "recipes", options.recipe).arms[0].does
    assert isinstance(way, Way)
    dataset = open_dataset(way.data, data_dir=options.data_dir, val_share=0.0)
    run = run_once(way, dataset, options.seed, machine, Report())
    seconds = time.time() - options.began
    print(json.dumps({"seconds": seconds, "accuracy": run.value, "training": run.details["seconds"]}))


if __name__ == "__main__":
    main()
