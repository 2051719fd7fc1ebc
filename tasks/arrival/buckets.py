"""Images below an address s3://bucket/prefix, as a folder."""

from pathlib import Path, PurePosixPath
from typing import Any

from tasks.arrival.archives import is_archive, safe, unpack
from tasks.arrival.space import need_space, writing
from tasks.checks.layout import image_like
from tasks.errors import DataError

SCHEME = "s3://"
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz2", ".txz")
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def download(address: str, folder: Path) -> None:
    """Bring all images below `address`, or one archive, into `folder`."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise DataError(f"{address} names no bucket; write s3://bucket/prefix")
    try:
        fetch(client(), address, bucket, prefix.strip("/"), folder)
    except DataError:
        raise
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        raise DataError(
            f"{address}: refused with {code}; check the bucket's name, {CREDENTIALS}, "
            "and that they may list and read there"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise DataError(
            f"{address} cannot be read ({type(error).__name__}); "
            f"check AWS_ENDPOINT_URL, the network and {CREDENTIALS}"
        ) from error


def client() -> Any:
    """A client from the standard environment."""
    import boto3
    from botocore.config import Config

    config = Config(
        response_checksum_validation="when_required",  # rclone fails range requests otherwise
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return boto3.session.Session().client("s3", config=config)


def fetch(s3: Any, address: str, bucket: str, prefix: str, folder: Path) -> None:
    """Download the objects whose key is `prefix` or below it."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    below = f"{prefix}/" if prefix else ""
    wanted = {
        key: safe(Path(address), key.removeprefix(below))
        for key in found
        if key.startswith(below) and image_like(PurePosixPath(key.removeprefix(below)))
    }
    if prefix in found and prefix.lower().endswith(ARCHIVES):
        wanted = {prefix: PurePosixPath(PurePosixPath(prefix).name)}
    if not wanted:
        raise DataError(
            f"{address}: none of {len(found)} objects is an image below this prefix; "
            "check the bucket and the prefix"
        )
    need_space(folder, sum(found[key] for key in wanted), address)
    for key, path in wanted.items():
        target = folder / path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(target))
    if prefix in wanted and is_archive(target):
        unpack(target, folder)
        target.unlink()
