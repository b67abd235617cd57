"""Uploads one object, and is killed from outside meanwhile: python -m tests.doubles.remote_upload minio|yandex SETTINGS."""

import ipaddress
import json
import sys

from storage.base import StorageProvider
from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy, guarded_session
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from storage.yandex.provider import YandexDiskProvider
from storage.yandex.settings import YandexDiskSettings

KEY = "acme/thumbnails/video/1/v/medium.webp"
OLD = b"old" * 100_000
NEW = b"new" * 1_000_000
LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)


def a_provider(kind: str, settings: dict[str, str]) -> StorageProvider:
    if kind == "minio":
        return MinioStorageProvider(parse_credentials(MinioCredentials, settings), policy=LOOPBACK)
    return YandexDiskProvider(
        YandexDiskSettings(settings["token"], settings["api_url"]), session=guarded_session(LOOPBACK)
    )


def main(kind: str, settings: str) -> None:
    a_provider(kind, json.loads(settings)).upload_file(KEY, NEW, content_type="image/webp")


if __name__ == "__main__":
    main(*sys.argv[1:])
