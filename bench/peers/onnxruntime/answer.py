"""The network of a release in ONNX Runtime: `python answer.py WEIGHTS` answers as bench.model asks.

WEIGHTS is an .npz with 0_kernel_0, 0_bias_0 ... of the convolutions of the first member, in
TensorFlow's order (height, width, in, out), and 0_W and 0_b of its last layer; 1_... of the second,
and so on. Each line of standard input is "IMAGES CALLS"; the answer is the seconds that so many
calls with so many images took, and the first probabilities.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MEMBERS = 2
CONVOLUTIONS = 4  # of a member
POOLED = (0, 2)  # convolutions with a pooling behind them


class Graph:
    """What is computed, node after node, from "images" [n, 28, 28, 1]."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def model(self, probabilities: str) -> onnx.ModelProto:
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 28, 28, 1])
        answer = helper.make_tensor_value_info(probabilities, TensorProto.FLOAT, ["n", 10])
        graph = helper.make_graph(self.nodes, "digits", [images], [answer], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def model_of(weights: np.lib.npyio.NpzFile) -> onnx.ModelProto:
    graph = Graph()
    images = graph.node("Transpose", "images", perm=[0, 3, 1, 2])  # channels first
    members = [logits(graph, images, weights, member) for member in range(MEMBERS)]
    digits, none = (
        graph.node("Slice", graph.node("Mean", *members), *part) for part in parts(graph)
    )
    is_a_digit = graph.node("Sigmoid", graph.node("Neg", none))
    return graph.model(graph.node("Mul", graph.node("Softmax", digits, axis=1), is_a_digit))


def parts(graph: Graph) -> list[list[str]]:
    """Start, stop and axis of the ten digits, and of what is none."""
    bounds = ((0, 10, 1), (10, 11, 1))
    return [[graph.constant(np.array([bound])) for bound in part] for part in bounds]


def logits(graph: Graph, x: str, weights: np.lib.npyio.NpzFile, member: int) -> str:
    for layer in range(CONVOLUTIONS):
        kernel = graph.constant(weights[f"{member}_kernel_{layer}"].transpose(3, 2, 0, 1))
        bias = graph.constant(weights[f"{member}_bias_{layer}"])
        x = graph.node("Relu", graph.node("Conv", x, kernel, bias))
        if layer in POOLED:
            x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Flatten", graph.node("Transpose", x, perm=[0, 2, 3, 1]))  # as TensorFlow does
    return graph.node("Gemm", x, *(graph.constant(weights[f"{member}_{name}"]) for name in "Wb"))


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = model_of(np.load(sys.argv[1])).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for line in sys.stdin:
        count, calls = map(int, line.split())
        images = np.random.default_rng(1).random([count, 28, 28, 1], np.float32)
        begin = time.perf_counter()
        for _ in range(calls):
            (probabilities,) = session.run(None, {"images": images})
        seconds = time.perf_counter() - begin
        print(json.dumps([seconds, probabilities[0].tolist()]), flush=True)


if __name__ == "__main__":
    main()
