"""Packages that come with an extra: `pip install inspectline` alone brings what inspects."""

import importlib
from types import ModuleType

from tasks.workspace.errors import ExtraError

EXTRAS = {  # extra -> what is imported of it
    "s3": {"boto3", "botocore"},
    "mqtt": {"paho"},
    "camera": {"cv2"},
    "otel": {"opentelemetry"},
    "signing": {"cryptography", "model_signing", "OpenSSL"},
    "openvino": {"openvino"},
    "tune": {"optuna"},
    "line": {
        *("FrEIA", "contourpy", "dvc", "dvc_data", "dvc_s3", "faiss", "great_expectations"),
        *(
            "huggingface_hub",
            "jinja2",
            "kornia",
            "markupsafe",
            "onnx",
            "onnxscript",
            "pandas",
            "prefect",
        ),
        *("safetensors", "sklearn", "timm", "torch", "torchvision"),
    },
}


def require(module: str) -> ModuleType:
    """A module of an extra; ExtraError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise lacking(error) or error from None


def lacking(error: ModuleNotFoundError) -> ExtraError | None:
    """What to tell of a module that is not there; None where no extra brings it."""
    name = (error.name or "").partition(".")[0]
    found = next((extra for extra, names in EXTRAS.items() if name in names), None)
    return needs(name, found) if found else None


def needs(package: str, extra: str) -> ExtraError:
    """The error for a package that an extra brings."""
    return ExtraError(f"this needs {package}; pip install 'inspectline[{extra}]'")
