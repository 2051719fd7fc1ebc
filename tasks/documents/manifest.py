"""manifest.json: what a release holds."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.documents.base import Count, Part, Text
from tasks.documents.metrics import GateMetrics
from tasks.documents.stored import Stored

MANIFEST = "manifest.json"


class FileEntry(Part):
    """One file of a release."""

    sha256: Text = Field(description="Hash of its content, 64 hexadecimal digits.")
    bytes: Count = Field(description="Its size.")


class About(Part):
    """What the publisher of a release says about it. It is not part of the id."""

    algorithm: Text = Field(default="", description="Name of the algorithm.")
    metrics: GateMetrics | None = Field(default=None, description="Figures of its evaluation.")
    test_set: Text | None = Field(
        default=None, description="sha256 of the test images and labels that it was measured on."
    )
    origin: dict[str, Any] = Field(
        default={}, description="Machine and git commit on which it was put together."
    )
    renamed_from: Text | None = Field(
        default=None, description="Earlier name of the product, under which it was made."
    )


class Manifest(Stored):
    """The files of a release and where it is from. It is written last."""

    remedy: ClassVar[str] = "delete it and publish the release again, or roll back"

    product: Text = Field(description="Name of the product.")
    release: Text = Field(description="Id of the release: a hash of the names and contents.")
    algorithm: Text = Field(description="Name of the algorithm.")
    created: Text = Field(description="When it was published: UTC, ISO 8601.")
    files: dict[str, FileEntry] = Field(description="Relative path -> hash and size.")
    about: About = Field(description="Figures and origin.")
