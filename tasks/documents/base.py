"""What all documents share: a version, one way to read them, and one to write them.

A reader takes what earlier versions wrote: keys that are missing have a default. Keys that it does
not know are kept, and written again.
"""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Never, Self

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from tasks.workspace.errors import DataError, LineError
from tasks.workspace.files import write_json

Number = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Text = InstanceOf[str]  # the name of a file in it need not be UTF-8
SHOWN = 3  # faults of a damaged document that an error names


class Part(BaseModel):
    """A piece of a document."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    def dump(self) -> dict[str, Any]:
        """Plain values for JSON: the keys that were given or read, and no others."""
        return self.model_dump(exclude_unset=True)

    def figure(self, name: str) -> float | None:
        """The number under a key; None where there is none."""
        value = getattr(self, name, None)
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if known else None


class Document(Part):
    """A JSON object with a version of its form."""

    error: ClassVar[type[LineError]] = DataError  # of one that is damaged
    remedy: ClassVar[str] = "write it again"

    version: Count = Field(default=1, ge=1, description="Version of the form of this document.")

    def model_post_init(self, _: Any) -> None:
        self.__pydantic_fields_set__.add("version")  # `dump` tells it always

    @classmethod
    def read(cls, path: Path) -> Self:
        """The document in a file."""
        if not path.is_file():
            raise cls.error(f"{path} is missing; {cls.remedy}")
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, content: bytes | str, where: str) -> Self:
        """The document in a text; `where` names it in an error."""
        try:
            body = json.loads(content, parse_constant=_no_number)
        except ValueError as error:
            raise cls.damaged(where, f"it is not JSON ({error})") from error
        if not isinstance(body, dict):
            raise cls.damaged(where, "it is no JSON object")
        cls.check_format(body, where)
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise cls.damaged(where, faults(error)) from error

    @classmethod
    def check_format(cls, body: dict[str, Any], where: str) -> None:
        """Raise where only a later version of the line can read it."""

    @classmethod
    def damaged(cls, where: str, reason: str) -> LineError:
        """The error for a document that is not what it should be."""
        return cls.error(f"{where} is damaged: {reason}; {cls.remedy}")

    def write(self, path: Path) -> None:
        """The file, whole or not at all; NaN is an error."""
        write_json(path, self.dump())


def faults(error: ValidationError) -> str:
    """The first wrong keys, and what is wrong with each."""
    found = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
    return "; ".join(found[:SHOWN] + ["..."] * (len(found) > SHOWN))


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")
