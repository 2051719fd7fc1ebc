"""What documents of a store share: a format, which an older version of the line must know."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document
from tasks.workspace.errors import LineError, StoreError

FORMAT = 1


class Stored(Document):
    """A document on which the content of a store depends."""

    error: ClassVar[type[LineError]] = StoreError

    format: Count = Field(description="A reader must refuse another one than 1.")

    @classmethod
    def check_format(cls, body: dict[str, Any], where: str) -> None:
        found = body.get("format", FORMAT)
        if found != FORMAT:
            raise cls.error(f"{where} has format {found}, this version reads {FORMAT}; upgrade")
