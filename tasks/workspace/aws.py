"""Clients of AWS's services and of compatible servers."""

import os
from typing import Any

# rclone answers ranges with the checksum of the whole object, which clients refuse by default
CHECKSUMS = ("response_checksum_validation", "request_checksum_calculation")
REQUIRED = "when_required"


def checksums_when_required() -> None:
    """Let clients that others make in this process, DVC's, take what `client` takes, unless the
    environment says otherwise. DVC's files carry a checksum in their names."""
    for key in CHECKSUMS:
        os.environ.setdefault(f"AWS_{key.upper()}", REQUIRED)


def client(
    service: str, attempts: int = 3, timeout: float = 60.0, region: str | None = None
) -> Any:
    """A boto3 client with the environment's endpoint and credentials.

    timeout: seconds of silence that end an attempt. The session is its own: boto3's default one is
    shared by the whole process.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=min(5.0, timeout),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        **dict.fromkeys(CHECKSUMS, REQUIRED),
    )
    return boto3.session.Session().client(service, region_name=region, config=config)
