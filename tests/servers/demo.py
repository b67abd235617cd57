"""The test servers that `thumbnails demo` uses in a checkout: service/demo/checkout.py loads this module by its name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.demo.broker import LocalKafka
from tests.servers.kafka import apache, docker
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server
from tests.servers.yandex.server import YandexDouble


def apache_kafka() -> LocalKafka | None:
    if apache.can_run():
        return apache.ApacheKafka()
    return docker.DockerKafka() if docker.can_run() else None


@contextmanager
def minio(bucket: str, say: Callable[[str], None]) -> Iterator[S3Server]:
    server = LocalMinio(say=say)
    try:
        server.start()
        server.server.make_bucket(bucket)
        server.server.let_everybody_read(bucket)
        yield server.server
    finally:
        server.stop()


@contextmanager
def yandex_disk(tokens: list[str]) -> Iterator[str]:
    with YandexDouble(tokens) as double:
        yield double.url
