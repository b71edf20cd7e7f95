"""The same store in an S3 bucket. Credentials come from the environment or from files, as boto3 reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from waferlens.errors import BlobMissing, BlobStoreLost, OptionsError
from waferlens.storage.blobs import checked_name, name_of

_CONNECT_SECONDS = 1
_READ_SECONDS = 3
_CLOUD = "amazonaws.com"


class S3Blobs:
    """Objects ``PREFIX/<sha256>`` of one bucket. boto3's client may be shared between threads."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        """``open_s3`` builds the client."""
        self._client, self._bucket, self._prefix = client, bucket, f"{prefix}/" if prefix else ""

    def put(self, data: bytes, *, durable: bool = True) -> str:
        """See ``BlobStore.put``. A bucket knows no other way than durable."""
        del durable
        name = name_of(data)
        with _Naming("an image cannot be stored"):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)
        return name

    def get(self, name: str) -> bytes:
        """See ``BlobStore.get``."""
        with _Naming("an image cannot be read"):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + checked_name(name))
            return bytes(answer["Body"].read())

    def delete(self, name: str, *, spare_seconds: float = 0.0) -> None:
        """See ``BlobStore.delete``."""
        with _Naming("an image cannot be deleted"):
            if spare_seconds and self._age(name) <= spare_seconds:
                return
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + checked_name(name))

    def names(self) -> Iterator[str]:
        """See ``BlobStore.names``."""
        with _Naming("the bucket cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self._prefix)

    def ping(self) -> None:
        """See ``BlobStore.ping``."""
        with _Naming("the bucket does not answer"):
            self._client.head_bucket(Bucket=self._bucket)

    def _age(self, name: str) -> float:
        """Seconds since a blob was stored; infinite where there is none."""
        page = self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=self._prefix + checked_name(name), MaxKeys=1
        )
        found = page.get("Contents", ())
        return (datetime.now(UTC) - found[0]["LastModified"]).total_seconds() if found else math.inf


def open_s3(url: str) -> S3Blobs:
    """``s3://BUCKET/PREFIX?endpoint=http://HOST:PORT``; or boto3's ``AWS_ENDPOINT_URL`` has it.

    Raises OptionsError for a URL of another form, and where the endpoint would be somebody's cloud.
    """
    import boto3
    from botocore.config import Config

    parts = urlsplit(url)
    told = parse_qs(parts.query)
    if parts.scheme != "s3" or not parts.netloc or set(told) - {"endpoint", "region"}:
        raise OptionsError(
            "the store's URL cannot be read", expected="s3://BUCKET/PREFIX?endpoint=http://HOST:PORT", found=url
        )
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"max_attempts": 1, "mode": "standard"},
        max_pool_connections=16,
        s3={"addressing_style": "path"},
    )
    client = boto3.client(
        "s3",
        endpoint_url=told.get("endpoint", [None])[0],
        region_name=told.get("region", [boto3.Session().region_name or "us-east-1"])[0],
        config=config,
    )
    # Without an endpoint boto3 asks a cloud, and fab data must not leave.
    if str(urlsplit(client.meta.endpoint_url).hostname).endswith(_CLOUD):
        raise OptionsError("the store's URL names no endpoint", expected="?endpoint=http://HOST:PORT", found=url)
    return S3Blobs(client, parts.netloc, parts.path.strip("/"))


class _Naming:
    """Turns what boto3 raises into the errors of the store."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchKey":
            raise BlobMissing("no such blob") from error
        if isinstance(error, (BotoCoreError, ClientError, OSError)):
            raise BlobStoreLost(self._what, found=" ".join(str(error).split())[:200]) from error
