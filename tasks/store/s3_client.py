"""A boto3 client that fails soon, and its errors with what to do. No credential gets in here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from tasks.workspace.aws import client
from tasks.workspace.errors import AwayError, StoreError

ATTEMPTS = 3
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
REMEDIES = {
    "AccessDenied": "let these credentials list, read and write there, or use others",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "EntityTooLarge": "one object carries at most 5 GB, make the model smaller",
    "InvalidBucketName": "correct the bucket's name in the store's address",
}


def connect(address: str, timeout: float) -> Any:
    """A client at the environment's endpoint; `timeout` seconds of silence end an attempt."""
    try:
        return client("s3", ATTEMPTS, timeout)
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"cannot set up the store {address}: {error}; "
            "check AWS_ENDPOINT_URL, AWS_PROFILE and AWS_DEFAULT_REGION"
        ) from error


@contextmanager
def asking(key: str, address: str, endpoint: str, expected: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn boto3's errors into a StoreError with the remedy, but for the expected codes."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in expected:
            raise
        raise _refused(error, key, address, endpoint) from error
    except BotoCoreError as error:
        raise _unreachable(error, address, endpoint) from error


def code_of(error: ClientError) -> str:
    """S3's own code, or the HTTP status as text where the body says nothing."""
    return str(error.response.get("Error", {}).get("Code", ""))


def shown(endpoint: str) -> str:
    """The endpoint without a user and password that somebody put into it."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _refused(error: ClientError, key: str, address: str, endpoint: str) -> StoreError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    bucket = address.removeprefix("s3://").partition("/")[0]
    if code == "NoSuchBucket":
        return StoreError(
            f"there is no bucket '{bucket}' at {endpoint}; "
            f"create it, or correct the store's address {address}"
        )
    if code in REMEDIES:
        remedy = REMEDIES[code]
    elif status in (401, 403):
        remedy = f"check {CREDENTIALS}"
    elif status == 404:
        remedy = "check that AWS_ENDPOINT_URL is an S3 server"
    elif status in (301, 307, 400):
        remedy = "check AWS_DEFAULT_REGION and AWS_ENDPOINT_URL"
    else:
        remedy = "look into the server's log, or try again later"
    kind = AwayError if status >= 500 else StoreError
    return kind(
        f"the store {address} at {endpoint} refuses '{key}': {code} (HTTP {status}); {remedy}"
    )


def _unreachable(error: BotoCoreError, address: str, endpoint: str) -> StoreError:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return StoreError(f"no credentials for the store {address}; set {CREDENTIALS}")
    reason = type(error).__name__.removesuffix("Error")
    return AwayError(
        f"cannot reach the store {address} at {endpoint}: {reason}; "
        "check that the server runs, and AWS_ENDPOINT_URL"
    )
