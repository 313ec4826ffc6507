"""The bucket itself: found, or made.

obstore moves data and does not administer buckets, so this takes the minio SDK. Loading that
is a fifth of what a command of `rstar` does in all, and few of them need a bucket made:
`artifacts` imports this module when it is needed.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from minio import Minio
from minio.error import MinioException, S3Error
from urllib3 import PoolManager, Retry
from urllib3.exceptions import HTTPError

from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Unavailable


def find_or_make_bucket(settings: ObjectStoreSettings, *, listing: str) -> None:
    """See that the store answers, by listing the prefix `listing`; make its bucket if it must be.

    Blocks.

    Raises:
        Unavailable: the store does not answer, or refuses.
    """
    url = urlsplit(settings.endpoint)
    client = Minio(
        url.netloc,
        access_key=settings.access_key.get_secret_value(),
        secret_key=settings.secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.region,
        http_client=PoolManager(timeout=5.0, retries=Retry(total=0)),
    )

    def look() -> None:
        # What every identity may list; a service may do nothing to the bucket itself.
        next(iter(client.list_objects(settings.bucket, prefix=listing)), None)

    try:
        try:
            look()
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            try:
                client.make_bucket(settings.bucket)
            except MinioException:
                look()  # another service was first
    except (MinioException, HTTPError, OSError) as error:
        raise Unavailable(str(error)) from error
