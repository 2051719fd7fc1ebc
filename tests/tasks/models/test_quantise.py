"""In 8 bits the nearest of many vectors is found, and its distance is that of floats."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.models.quantise import Spread, search_in_8_bits

DIMS, ENTRIES = 32, 300


@pytest.fixture
def bank():
    """Vectors far from the origin, as features mostly are (N, D)."""
    return np.random.default_rng(0).normal(5, 1, (ENTRIES, DIMS)).astype(np.float32)


@pytest.fixture
def vectors():
    return np.random.default_rng(1).normal(5, 1, (500, DIMS)).astype(np.float32)


def model_of(steps, given, outputs):
    """Of vectors x (P, D), with constants by name."""
    graph = helper.make_graph(
        steps,
        "search",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, DIMS])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


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
    return model_of(steps, given, outputs)


def distance_of(index):
    """Distance to an entry, computed from its difference."""
    return [
        helper.make_node("Gather", ["bank", index], ["entry"]),
        helper.make_node("Sub", ["x", "entry"], ["difference"]),
        helper.make_node("ReduceL2", ["difference", "last"], ["distance"], keepdims=0),
    ]


def searching(bank):
    """Distance to the nearest entry."""
    index = helper.make_node("ArgMin", ["table"], ["index"], axis=1, keepdims=0)
    return graph_of(bank, index, *distance_of("index"), outputs={"distance": TensorProto.FLOAT})


def run(model, x):
    text = model.SerializeToString()
    session = onnxruntime.InferenceSession(text, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def quantised(model, x):
    """The model with its search in 8 bits, which knows the spread of vectors x (P, D)."""
    names = [node.output[0] for node in model.graph.node if node.op_type == "MatMul"]
    half = len(x) // 2  # in two parts, as images come one after another
    spread = Spread.of(2 * x[:half]) + Spread.of(2 * x[None, half:])
    search_in_8_bits(model.graph, dict.fromkeys(names, spread))
    return model


def nearest(x, bank):
    return np.linalg.norm(x[:, None] - bank, axis=2).min(1)


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_the_nearest_is_found_in_8_bits_and_its_distance_in_floats(bank, vectors):
    before = searching(bank).ByteSize()
    model = quantised(searching(bank), vectors)
    assert "MatMulInteger" in kinds(model) and "MatMul" not in kinds(model)
    assert model.ByteSize() < 0.7 * before  # the matrix of floats has gone
    found, true = run(model, vectors), nearest(vectors, bank)
    assert (found > true - 1e-4).all()  # of an entry that there is
    assert (np.abs(found - true) < 1e-4).mean() > 0.9
    assert (found / true).max() < 1.05


def test_what_is_an_entry_is_at_no_distance(bank, vectors):
    bank[3] = 0
    assert run(quantised(searching(bank), vectors), bank[:50]).max() < 1e-4


def test_a_vector_does_not_change_what_is_found_for_another(bank, vectors):
    model = quantised(searching(bank), vectors)
    alone, far = run(model, vectors), vectors.copy()
    far[0] *= 1000
    assert np.array_equal(run(model, far)[1:], alone[1:])
    assert run(model, far)[0] > alone.max()


def test_blocks_of_a_memory_are_compared(bank, vectors):
    """As `neighbours` compares those of a large one."""
    half = ENTRIES // 2
    parts = [bank[:half], bank[half:]]
    given = {"two": np.float32(2), "bank": bank, "half": np.array(half), "last": np.array([-1])}
    steps = [helper.make_node("Mul", ["x", "two"], ["doubled"])]
    for name, part in zip("ab", parts, strict=True):
        given |= {f"turned_{name}": part.T.copy(), f"squares_{name}": (part**2).sum(1)}
        steps += [
            helper.make_node("MatMul", ["doubled", f"turned_{name}"], [f"products_{name}"]),
            helper.make_node("Sub", [f"squares_{name}", f"products_{name}"], [f"table_{name}"]),
            helper.make_node("ReduceMin", [f"table_{name}", "last"], [f"least_{name}"], keepdims=0),
            helper.make_node("ArgMin", [f"table_{name}"], [f"at_{name}"], axis=1, keepdims=0),
        ]
    steps += [
        helper.make_node("Less", ["least_b", "least_a"], ["closer"]),
        helper.make_node("Add", ["at_b", "half"], ["later"]),
        helper.make_node("Where", ["closer", "later", "at_a"], ["index"]),
        *distance_of("index"),
    ]
    model = quantised(model_of(steps, given, {"distance": TensorProto.FLOAT}), vectors)
    assert kinds(model).count("MatMulInteger") == 2 and "MatMul" not in kinds(model)
    true = nearest(vectors, bank)
    assert (np.abs(run(model, vectors) - true) < 1e-4).mean() > 0.9


@pytest.mark.parametrize("output", ["table", "least"])
def test_products_that_are_in_a_result_stay_floats(bank, output):
    least = helper.make_node("ReduceMin", ["table", "last"], ["least"], keepdims=0)
    index = helper.make_node("ArgMin", ["table"], ["index"], axis=1, keepdims=0)
    outputs = {output: TensorProto.FLOAT, "index": TensorProto.INT64}
    model = graph_of(bank, least, index, outputs=outputs)
    before = model.SerializeToString()
    search_in_8_bits(model.graph, {})
    assert model.SerializeToString() == before


def test_a_branch_may_read_anything(bank):
    """What is read in it is not among the inputs of its node."""
    value = helper.make_tensor_value_info("read", TensorProto.FLOAT, None)
    same = helper.make_node("Identity", ["table"], ["read"])
    branch = helper.make_graph([same], "branch", [], [value])
    positive = helper.make_node("IsNaN", ["two"], ["wrong"])
    either = helper.make_node("If", ["wrong"], ["out"], then_branch=branch, else_branch=branch)
    model = graph_of(bank, positive, either, outputs={"out": TensorProto.FLOAT})
    search_in_8_bits(model.graph, {})
    assert "MatMul" in kinds(model)
    assert run(model, bank[:3]).shape == (3, ENTRIES)
