"""One network in three runtimes, on one thread each: `python -m bench.model RELEASE`.

TensorFlow, LiteRT, and ONNX Runtime with the same weights, each in a process of its own, take
turns. Prints milliseconds a call by the number of images in it, medians over the rounds, and the
memory (PSS) of each process at the end. Their answers to the same image must agree.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from bench.environments import PEERS, programs
from bench.processes import pss_kilobytes
from model import checkpoints, serving
from tests.serving import ROOT

BATCHES = {1: 200, 32: 20, 1_000: 1}  # images in a call: calls in a round
ROUNDS = 7
AGREEMENT = 1e-5

Process = subprocess.Popen[str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.model", description=__doc__)
    parser.add_argument("release", nargs="?", default="cnn-1", help="one with convolutions")
    folder = serving.release_folder(parser.parse_args().release)
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "weights.npz"
        write_weights(folder, weights)
        processes = {name: started(command) for name, command in commands(folder, weights).items()}
        try:
            print(report(processes))
        finally:
            for process in processes.values():
                process.communicate()  # the end of its input is its end


def write_weights(folder: Path, file: Path) -> None:
    arrays = {}
    for number, member in enumerate(checkpoints.network_in(folder).members):
        layers = {"W": member.W, "b": member.b}
        layers |= {f"kernel_{i}": kernel for i, kernel in enumerate(member.kernels)}
        layers |= {f"bias_{i}": bias for i, bias in enumerate(member.biases)}
        arrays |= {f"{number}_{name}": layer.numpy() for name, layer in layers.items()}
    np.savez(file, **arrays)


def commands(folder: Path, weights: Path) -> dict[str, list[str]]:
    ours = [sys.executable, "-m", "bench.answer"]
    python, script = programs("onnxruntime") / "python", PEERS / "onnxruntime" / "answer.py"
    return {
        "tensorflow": [*ours, "tensorflow", str(folder)],
        "litert": [*ours, "litert", str(folder)],
        "onnxruntime": [str(python), str(script), str(weights)],
    }


def started(command: list[str]) -> Process:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def report(processes: dict[str, Process]) -> str:
    asked(processes, 1, 1)  # warm
    small = {name: megabytes(process) for name, process in processes.items()}
    taken = {images: rounds(processes, images, calls) for images, calls in BATCHES.items()}
    lines = [f"{'':12}" + "".join(f"{images:>10}" for images in BATCHES) + "  MB, MB at the end"]
    for name, process in processes.items():
        times = "".join(f"{taken[images][name]:10.3f}" for images in BATCHES)
        lines.append(f"{name:12}{times}  {small[name]:.0f}, {megabytes(process):.0f}")
    return "\n".join(lines)


def rounds(processes: dict[str, Process], images: int, calls: int) -> dict[str, float]:
    """Milliseconds a call."""
    seconds = [asked(processes, images, calls) for _ in range(ROUNDS)]
    return {name: median(r[name] for r in seconds) / calls * 1_000 for name in processes}


def asked(processes: dict[str, Process], images: int, calls: int) -> dict[str, float]:
    """Seconds, one process after the other; raises AssertionError if their answers differ."""
    answers = {name: asked_one(process, images, calls) for name, process in processes.items()}
    first, *others = (np.array(probabilities) for _, probabilities in answers.values())
    assert all(np.abs(first - other).max() <= AGREEMENT for other in others)
    return {name: seconds for name, (seconds, _) in answers.items()}


def asked_one(process: Process, images: int, calls: int) -> tuple[float, list[float]]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{images} {calls}\n")
    process.stdin.flush()
    seconds, probabilities = json.loads(process.stdout.readline())
    return seconds, probabilities


def megabytes(process: Process) -> float:
    return pss_kilobytes(process.pid) / 1024


if __name__ == "__main__":
    main()
