"""Rows of numbers in memory or on disk."""

import tempfile
import weakref
from pathlib import Path

import torch
from torch import Tensor


class InMemory:
    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def put(self, at: int, rows: Tensor) -> None:
        """Append rows; more rows than reserved are allowed."""
        if at + len(rows) > len(self.rows):
            self.rows = torch.cat([self.rows[:at], rows])
        else:
            self.rows[at : at + len(rows)] = rows

    def take(self, numbers: Tensor) -> Tensor:
        return self.rows[numbers.to(self.rows.device)]


class OnDisk:
    """Rows (dims,) in a file without a name, deleted with this object. It is read and written, not
    mapped: mapped pages would count as memory of this process."""

    def __init__(
        self, folder: Path, dims: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.row = torch.empty(dims, dtype=dtype)
        self.device = device
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self.file.close)

    def put(self, at: int, rows: Tensor) -> None:
        self.file.seek(at * self.row.nbytes)
        self.file.write(rows.cpu().contiguous().numpy().data)

    def take(self, numbers: Tensor) -> Tensor:
        self.file.flush()
        rows = self.row.new_empty(len(numbers), len(self.row))
        for place in numbers.argsort().tolist():  # in the order of the file
            self.file.seek(int(numbers[place]) * self.row.nbytes)
            self.file.readinto(rows[place].numpy().data)
        return rows.to(self.device)


Rows = InMemory | OnDisk
