"""A network with the inputs and outputs of a WD14 tagger, in little: it tells red, green and blue pictures by their means.

    pip install onnx
    python reference/vision/tagger_golden.py     # writes crates/fairhuman/tests/golden/tagger

onnx 1.23.2. `model.onnx`: [N, 32, 32, 3], blue first, 0 to 255, to five probabilities; `selected_tags.csv`: their names.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUT = pathlib.Path(__file__).parents[2] / "crates/fairhuman/tests/golden/tagger"

# rating, red, green, blue, a character that is very red
WEIGHTS = np.array([[0, 0, 0, 0.05, 0], [0, 0, 0.05, 0, 0], [0, 0.05, 0, 0, 0.02]], np.float32)
BIASES = np.array([9, -6, -6, -6, -3], np.float32)

nodes = [
    helper.make_node("ReduceMean", ["picture"], ["means"], axes=[1, 2], keepdims=0),
    helper.make_node("MatMul", ["means", "weights"], ["product"]),
    helper.make_node("Add", ["product", "biases"], ["sums"]),
    helper.make_node("Sigmoid", ["sums"], ["probabilities"]),
]
graph = helper.make_graph(
    nodes,
    "tagger",
    [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 32, 32, 3])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 5])],
    [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIASES, "biases")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
model.ir_version = 8
onnx.checker.check_model(model)
OUT.mkdir(parents=True, exist_ok=True)
onnx.save(model, OUT / "model.onnx")
names = ["general,9", "red_things,0", "green,0", "blue,0", '"miss_red, the first",4']
lines = ["tag_id,name,category,count"] + [f"{i},{name},1" for i, name in enumerate(names)]
(OUT / "selected_tags.csv").write_text("\n".join(lines) + "\n")
