"""Download images below an address s3://bucket/prefix into a folder."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.arrival.archives import is_archive, too_large, unpack
from tasks.arrival.safe_paths import relative_parts, safe_paths
from tasks.images.layout import image_like
from tasks.workspace.aws import client
from tasks.workspace.errors import DataError
from tasks.workspace.files import need_space, writing

SCHEME = "s3://"
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz2", ".txz")
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def download_bucket(address: str, folder: Path) -> list[tuple[str, str]]:
    """Download all images below `address`, or one archive, into `folder`. Returns (name, reason) of
    each refused file."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise DataError(f"{address} names no bucket; write s3://bucket/prefix")
    try:
        return download_objects(client("s3"), address, bucket, prefix.strip("/"), folder)
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


def image_keys(
    keys: Mapping[str, int], prefix: str
) -> tuple[dict[PurePosixPath, str], list[tuple[str, str]]]:
    """The keys of images that begin with `prefix`, by their path below it, and (name, reason) of
    each refused key. keys: bytes of each; prefix: empty, or ends with a slash."""
    sizes = {key.removeprefix(prefix): n for key, n in keys.items() if key.startswith(prefix)}
    images = {name: n for name, n in sizes.items() if image_like(relative_parts(name))}
    large = too_large(images)
    taken, refused = safe_paths(name for name in images if name not in large)
    return {path: prefix + name for path, name in taken.items()}, [*refused, *large.items()]


def download_objects(
    s3: Any, address: str, bucket: str, prefix: str, folder: Path
) -> list[tuple[str, str]]:
    """Download the objects whose key is `prefix` or below it. Returns (name, reason) of each
    refused object."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    wanted, refused = image_keys(found, f"{prefix}/" if prefix else "")
    packed = prefix in found and prefix.lower().endswith(ARCHIVES)
    if packed:
        wanted, refused = {PurePosixPath(PurePosixPath(prefix).name): prefix}, []
    if not wanted and not refused:
        raise DataError(
            f"{address}: none of {len(found)} objects is an image below this prefix; "
            "check the bucket and the prefix"
        )
    need_space(folder, sum(found[key] for key in wanted.values()), address)
    for path, key in wanted.items():
        target = folder / path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(target))
    if packed and is_archive(target):
        refused = unpack(target, folder)
        target.unlink()
    return refused
