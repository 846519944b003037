"""The network of a release in ONNX Runtime: `python answer.py WEIGHTS` answers as bench.model asks.

WEIGHTS is an .npz with kernel_0, bias_0 ... of the convolutions, in TensorFlow's order (height,
width, in, out), and W and b of the last layer. Each line of standard input is "IMAGES CALLS"; the
answer is the seconds that so many calls with so many images took, and the first probabilities.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

POOLED = (1, 3)  # convolutions with a pooling behind them


def graph_of(weights: np.lib.npyio.NpzFile) -> onnx.ModelProto:
    nodes, constants, x = [], [], "images"

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    x = node("Transpose", x, perm=[0, 3, 1, 2])  # channels first
    for layer in range(5):
        kernel = weights[f"kernel_{layer}"].transpose(3, 2, 0, 1)
        bias = constant(f"bias_{layer}", weights[f"bias_{layer}"])
        x = node("Relu", node("Conv", x, constant(f"kernel_{layer}", kernel), bias))
        if layer in POOLED:
            x = node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = node("Flatten", node("Transpose", x, perm=[0, 2, 3, 1]))  # as TensorFlow flattens
    x = node("Gemm", x, constant("W", weights["W"]), constant("b", weights["b"]))
    nodes.append(helper.make_node("Softmax", [x], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 28, 28, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 11])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = graph_of(np.load(sys.argv[1])).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for line in sys.stdin:
        count, calls = map(int, line.split())
        images = np.random.default_rng(1).random([count, 28, 28, 1], np.float32)
        begin = time.perf_counter()
        for _ in range(calls):
            (probabilities,) = session.run(["probabilities"], {"images": images})
        seconds = time.perf_counter() - begin
        print(json.dumps([seconds, probabilities[0, :10].tolist()]), flush=True)


if __name__ == "__main__":
    main()
