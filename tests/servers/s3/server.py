"""An S3 server that can be reached, and what its owner does there: buckets, and rights of others."""

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from service.demo.processes import NoServerError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION: Final = "us-east-1"
_POLICY_VERSION: Final = "2012-10-17"
_PORTS: Final = {"http": 80, "https": 443}
_SESSION_S: Final = 3600
_ROLE: Final = "arn:aws:iam::000000000000:role/session"
_NOT_FROM_OUTSIDE: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
}
"""A developer's own AWS configuration must not decide where requests go."""
_CONFIG: Final = Config(
    proxies={},
    connect_timeout=2,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 1},
    s3={"addressing_style": "path"},
)


class NoS3Error(NoServerError):
    """No S3 server can be had; the message says what to install."""


@dataclass(frozen=True)
class S3Server:
    """Where a server is and whose keys to use. `ca_file` is the authority to trust where TLS needs one."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    description: str = ""
    session_token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def client(self) -> "S3Client":
        """A new client of boto3, which tries everything once; close it. From one thread at a time."""
        client: S3Client = self._client("s3")
        return client

    def _client(self, service: str, config: Config = _CONFIG) -> Any:
        return _session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
            verify=str(self.ca_file) if self.ca_file else None,
            config=config,
        )

    def answers(self) -> bool:
        """Whether it takes a signed request within about two seconds."""
        url = urlsplit(self.endpoint_url)
        try:
            # Asked first: it costs nothing while nothing listens.
            with socket.create_connection((url.hostname, url.port or _PORTS[url.scheme]), timeout=2):
                pass
            client = self._client("s3", _CONFIG.merge(Config(read_timeout=2)))
            try:
                client.list_buckets()
            finally:
                client.close()
        except (OSError, ClientError, BotoCoreError):
            time.sleep(0.05)
            return False
        return True

    def make_bucket(self, name: str) -> None:
        """A new bucket; one that its owner has already is taken as it is."""
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
        except client.exceptions.BucketAlreadyOwnedByYou:
            pass
        finally:
            client.close()

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket with all objects and their versions."""
        client = self.client()
        try:
            # MinIO lists no object that is below another one, until that is gone.
            while found := [
                version
                for page in client.get_paginator("list_object_versions").paginate(Bucket=name)
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            ]:
                for version in found:
                    client.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
            client.delete_bucket(Bucket=name)
        finally:
            client.close()

    def let_everybody_read(self, bucket: str) -> None:
        """Make every object of the bucket readable by its plain URL, without a signature."""
        policy = _allow(["s3:GetObject"], [f"arn:aws:s3:::{bucket}/*"]) | {"Principal": {"AWS": ["*"]}}
        client = self.client()
        try:
            client.put_bucket_policy(Bucket=bucket, Policy=_document(policy))
        finally:
            client.close()

    def session_credentials(self, policy: Mapping[str, Any]) -> "S3Server":
        """The same server with temporary keys (access_key, secret_key, session_token) that may do what `policy` allows.

        They hold for an hour. Of MinIO's own STS, which takes the policy without any user or role being made.
        """
        client = self._client("sts")
        try:
            found = client.assume_role(
                RoleArn=_ROLE, RoleSessionName="session", Policy=json.dumps(policy), DurationSeconds=_SESSION_S
            )["Credentials"]
        finally:
            client.close()
        return replace(
            self,
            access_key=found["AccessKeyId"],
            secret_key=found["SecretAccessKey"],
            session_token=found["SessionToken"],
        )


@cache
def _session() -> Session:
    return Session(session_vars=_NOT_FROM_OUTSIDE)


def read_only(bucket: str) -> dict[str, Any]:
    """A policy that allows to get and to list the objects of one bucket."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Version": _POLICY_VERSION, "Statement": [_allow(["s3:GetObject", "s3:ListBucket"], resources)]}


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": _POLICY_VERSION, "Statement": [statement]})
