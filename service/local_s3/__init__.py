"""S3 on this machine, for the demo and the tests: one way to start a MinIO."""

from service.local_s3.minio import LocalMinio
from service.local_s3.server import NoS3Error, S3Server

__all__ = ["LocalMinio", "NoS3Error", "S3Server"]
