"""What the service bounds, so that no client can take the machine down."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    upload_mb: float = 20.0  # of one request's body
    megapixels: float = 50.0  # of one image; a small file can hold a huge one
    waiting: int = 64  # requests at work at once; more are asked to come again
    batch: int = 8  # images scored together
    log: Path | None = None  # folder of the log of predictions
    patience: float = 30.0  # seconds for a client to send its image
