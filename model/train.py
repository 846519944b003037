"""Train a release on MNIST, export it and write its card: `python -m model.train`.

`--network softmax` is the regression of the blog post, `--network cnn` the convolutional network. A
training that was stopped goes on where it was when the same command is given again.
"""

import argparse
from pathlib import Path
from typing import Any

from model import card, data, serving, strangers, train_cnn, train_softmax
from model.evaluate import report
from model.export import export

NETWORKS = ("softmax", "cnn")
STATES = Path(__file__).parent.parent / ".data" / "training"  # of trainings that are under way


def trained(options: argparse.Namespace, mnist: data.Mnist, folder: Path) -> dict[str, Any]:
    """Leave a checkpoint in the folder; gives what the card tells of the training."""
    if options.network == "softmax":
        return train_softmax.make(mnist.train, folder, options.steps)
    recipe = train_cnn.Recipe(epochs=options.epochs)
    state = STATES / f"{folder.name}-{options.seed}"
    return train_cnn.make(mnist.train, folder, recipe, options.seed, state)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="softmax")
    parser.add_argument(
        "--output", type=Path, help="a folder; model/releases/NETWORK-1 if left out"
    )
    parser.add_argument("--steps", type=int, help="of softmax, instead of choosing their number")
    parser.add_argument("--epochs", type=int, default=train_cnn.Recipe().epochs, help="of cnn")
    parser.add_argument("--seed", type=int, default=train_cnn.SEED, help="of cnn")
    options = parser.parse_args()
    folder = (options.output or serving.RELEASES / f"{options.network}-1").resolve()
    try:
        mnist = data.load()
        about = trained(options, mnist, folder)
        export(folder, mnist.test)
        card.write(folder, card.card(folder, mnist, about, strangers.EACH))
    except data.DataMissing as error:
        parser.error(str(error))
    print(report(card.read(folder)))


if __name__ == "__main__":
    main()
