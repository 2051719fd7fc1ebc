"""Every error the line raises on purpose. The command line prints them without a stack trace.

LineError
  SpecError         a key of params.yaml or product.yaml is unknown, mistyped or out of range
  DataError         an image, a mask, an archive or a folder of images cannot be used
  ValidationError   a product's images failed validation; its cells were not trained
  WorkspaceError    the folder is no workspace
  BusyError         another run holds the workspace (a WorkspaceError)
  ChangedError      a file was changed by somebody else since it was looked at
  StoreError        the store cannot be reached, refuses, or holds a damaged object
  ConflictError     somebody else changed the champion first (a StoreError)
  MissingError      what it was asked for is not there (a StoreError)
  AwayError         nothing answers just now (a StoreError)
  CellError         a cell's process crashed or ran out of memory
  MachineError      this machine cannot do it, another may: its disk is full
  ExtraError        a package of an extra is not installed
"""

import difflib
from collections.abc import Iterable

from tasks.workspace.secrets import without_secrets


class LineError(Exception):
    """A user's mistake or an outside failure, with the remedy in its message, and no secret."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class SpecError(LineError, ValueError): ...


class DataError(LineError, ValueError): ...


class ValidationError(LineError, RuntimeError): ...


class WorkspaceError(LineError, RuntimeError): ...


class BusyError(WorkspaceError): ...


class ChangedError(LineError, RuntimeError): ...


class StoreError(LineError, OSError): ...


class ConflictError(StoreError): ...


class MissingError(StoreError): ...


class AwayError(StoreError): ...


class CellError(LineError, RuntimeError): ...


class MachineError(LineError, OSError): ...


class ExtraError(LineError, ImportError): ...


def hint(wrong: str, known: Iterable[str]) -> str:
    """The nearest of the known names, or all of them."""
    known = list(known)
    close = nearest(wrong, known)
    return f"did you mean '{close}'?" if close else f"known: {', '.join(known)}"


def nearest(wrong: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The known name that is most like `wrong`; empty where none is. likeness: 0..1, at least."""
    return next(iter(difflib.get_close_matches(wrong, list(known), 1, likeness)), "")
