"""The time as it is written in records: UTC in ISO 8601."""

from datetime import UTC, datetime


def now(timespec: str = "seconds") -> str:
    """Such as 2026-05-04T03:02:01+00:00; timespec: of `datetime.isoformat`."""
    return datetime.now(UTC).isoformat(timespec=timespec)
