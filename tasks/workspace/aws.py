"""Clients of AWS's services and of compatible servers."""

from typing import Any


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
        # rclone answers ranges with the checksum of the whole object, which boto3 would refuse
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
    )
    return boto3.session.Session().client(service, region_name=region, config=config)
