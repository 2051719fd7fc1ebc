"""In 8 bits the nearest of many vectors is found, and its distance is that of floats."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.models.quantise import search_in_8_bits

DIMS, ENTRIES = 32, 300


@pytest.fixture
def bank():
    """Vectors far from the origin, as features mostly are (N, D)."""
    return np.random.default_rng(0).normal(5, 1, (ENTRIES, DIMS)).astype(np.float32)


def graph_of(bank, *tail, outputs):
    """|y|^2 - 2xy for each x (P, D) and each entry y, and the nodes that follow."""
    given = {
        "bank": bank,
        "turned": bank.T.copy(),
        "two": np.float32(2),
        "squares": (bank**2).sum(1),
        "last": np.array([-1]),
    }
    steps = [
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("MatMul", ["doubled", "turned"], ["products"]),
        helper.make_node("Sub", ["squares", "products"], ["table"]),
        *tail,
    ]
    graph = helper.make_graph(
        steps,
        "search",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, DIMS])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def searching(bank):
    """Distance to the nearest entry, computed from its difference."""
    return graph_of(
        bank,
        helper.make_node("ArgMin", ["table"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["bank", "index"], ["entry"]),
        helper.make_node("Sub", ["x", "entry"], ["difference"]),
        helper.make_node("ReduceL2", ["difference", "last"], ["distance"], keepdims=0),
        outputs={"distance": TensorProto.FLOAT},
    )


def run(model, x):
    text = model.SerializeToString()
    session = onnxruntime.InferenceSession(text, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_the_nearest_is_found_in_8_bits_and_its_distance_in_floats(bank):
    x = np.random.default_rng(1).normal(5, 1, (500, DIMS)).astype(np.float32)
    true = np.linalg.norm(x[:, None] - bank, axis=2).min(1)
    model = searching(bank)
    before = model.ByteSize()
    search_in_8_bits(model.graph)
    assert "MatMulInteger" in kinds(model) and "MatMul" not in kinds(model)
    assert model.ByteSize() < 0.7 * before  # the matrix of floats has gone
    found = run(model, x)
    assert (found > true - 1e-4).all()  # of an entry that there is
    assert (np.abs(found - true) < 1e-4).mean() > 0.9
    assert (found / true).max() < 1.05


def test_what_is_an_entry_is_at_no_distance(bank):
    model = searching(bank)
    search_in_8_bits(model.graph)
    assert run(model, bank[:50]).max() < 1e-4


@pytest.mark.parametrize("output", ["table", "least"])
def test_products_that_are_in_a_result_stay_floats(bank, output):
    least = helper.make_node("ReduceMin", ["table", "last"], ["least"], keepdims=0)
    index = helper.make_node("ArgMin", ["table"], ["index"], axis=1, keepdims=0)
    outputs = {output: TensorProto.FLOAT, "index": TensorProto.INT64}
    model = graph_of(bank, least, index, outputs=outputs)
    before = model.SerializeToString()
    search_in_8_bits(model.graph)
    assert model.SerializeToString() == before


def test_a_branch_may_read_anything(bank):
    """What is read in it is not among the inputs of its node."""
    value = helper.make_tensor_value_info("read", TensorProto.FLOAT, None)
    same = helper.make_node("Identity", ["table"], ["read"])
    branch = helper.make_graph([same], "branch", [], [value])
    positive = helper.make_node("IsNaN", ["two"], ["wrong"])
    either = helper.make_node("If", ["wrong"], ["out"], then_branch=branch, else_branch=branch)
    model = graph_of(bank, positive, either, outputs={"out": TensorProto.FLOAT})
    search_in_8_bits(model.graph)
    assert "MatMul" in kinds(model)
    assert run(model, bank[:3]).shape == (3, ENTRIES)
