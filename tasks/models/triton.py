"""The inspect.onnx of a release as a model repository of the Triton Inference Server, which KServe
runs too: DIR/<model>/config.pbtxt and DIR/<model>/<version>/model.onnx.

https://docs.nvidia.com/deeplearning/triton-inference-server: model_repository, model_configuration.
"""

import shutil
from pathlib import Path
from typing import Any

from tasks.workspace.files import file_beside, sha256_of, write_text

NAME = "model.onnx"  # by which Triton finds the model of a version
CONFIG = "config.pbtxt"


def write_repository(source: Path, folder: Path, release: str) -> Path:
    """The version of the model in `folder` that is the file `source`: the one that was written
    before, or the next one. `folder` is named as the model is."""
    known = {int(one.parent.name): one for one in folder.glob(f"[1-9]*/{NAME}")}
    wanted = sha256_of(source)
    same = [version for version, path in known.items() if sha256_of(path) == wanted]
    version = same[0] if same else max(known, default=0) + 1
    if not same:
        with file_beside(folder / str(version) / NAME) as part:
            shutil.copyfile(source, part)
            part.replace(folder / str(version) / NAME)
    write_text(folder / CONFIG, configuration(source, folder.name, version, release))
    return folder / str(version)


def configuration(source: Path, name: str, version: int, release: str) -> str:
    """config.pbtxt of an ONNX file whose first dimension is no batch.

    Inputs that have a default in the file are left out: a request cannot do without one that is
    named here. A single number has one dimension here, because each needs one.
    """
    import onnx

    graph = onnx.load(source, load_external_data=False).graph
    defaults = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in defaults]
    parts = [
        f"name: {quoted(name)}",
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        *(_tensor("input", one) for one in inputs),
        *(_tensor("output", one) for one in graph.output),
        f"version_policy {{ specific {{ versions: [ {version} ] }} }}",
        f'parameters {{ key: "release" value {{ string_value: {quoted(release)} }} }}',
    ]
    return "\n".join(parts) + "\n"


def _tensor(kind: str, value: Any) -> str:
    import onnx

    said = value.type.tensor_type
    type = onnx.TensorProto.DataType.Name(said.elem_type)
    type = {"FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16"}.get(type, type)
    dims = [one.dim_value if one.HasField("dim_value") else -1 for one in said.shape.dim]
    shape = f"dims: {dims}" if dims else "dims: [1] reshape { shape: [] }"
    return f"{kind} [ {{ name: {quoted(value.name)} data_type: TYPE_{type} {shape} }} ]"


def quoted(text: str) -> str:
    """A string of the text format of protocol buffers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
