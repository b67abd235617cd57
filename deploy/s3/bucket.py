"""Makes buckets whose objects every browser may read, in the S3 of docker-compose.yml: `python bucket.py NAME…`.

It may be repeated. The server's address and keys are S3_ENDPOINT_URL, S3_ACCESS_KEY and S3_SECRET_KEY.
"""

import json
import os
import sys
from typing import Any

import boto3
from botocore.config import Config


def make(client: Any, bucket: str) -> None:
    """Make the bucket unless it is there, and let everybody read its objects by their names."""
    if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    may_read = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [may_read]}))
    sys.stdout.write(f"The bucket {bucket} is there, and everybody may read its objects.\n")


if __name__ == "__main__":
    server = boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        aws_access_key_id=os.environ["S3_ACCESS_KEY"],
        aws_secret_access_key=os.environ["S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    for name in sys.argv[1:]:
        make(server, name)
