"""A Yandex Disk of our own: its REST API over HTTP, with its awkward parts and with faults on demand."""

from service.local_yandex.server import YandexDouble

__all__ = ["YandexDouble"]
