"""S3 servers as the world has them: a real S3 behind a gateway that does one thing otherwise.

Each quirk gets a request and the server behind it, and returns the answer. Its docstring says who is known for it.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from tests.doubles.scripted_s3 import Asked, Reply, error

Server = Callable[[Asked], Reply]
Quirk = Callable[[Asked, Server], Reply]

NAME: Final = "s3.localhost"
"""The name of every quirk S3: its buckets have names below it, and whoever asks for one must be led to 127.0.0.1."""
_CHECKSUM: Final = "x-amz-checksum-sha256"
_CONTENTS: Final = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


def header(asked: Asked, name: str) -> str | None:
    return next((value for found, value in asked.headers.items() if found.lower() == name.lower()), None)


def without(asked: Asked, *names: str) -> Asked:
    return replace(asked, headers={name: value for name, value in asked.headers.items() if name.lower() not in names})


def answering(reply: Reply, **changes: str | None) -> Reply:
    """`reply` with headers changed, or, where a change is None, left out."""
    changed = {name.lower().replace("_", "-"): value for name, value in changes.items()}
    kept = {name: value for name, value in reply.headers.items() if name.lower() not in changed}
    return replace(reply, headers=kept | {name: value for name, value in changed.items() if value is not None})


def etag(reply: Reply) -> str | None:
    return next((value for name, value in reply.headers.items() if name.lower() == "etag"), None)


def is_listing(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type=2" in asked.path


def with_query(asked: Asked, *left_out: str, **more: str) -> Asked:
    """`asked` with parameters of its query left out and others added."""
    parts = urlsplit(asked.path)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in left_out]
    kept += [(name.replace("_", "-"), value) for name, value in more.items()]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(kept))
    return replace(asked, path=f"{parts.path}?{query}")


def checksum_refused_400(asked: Asked, server: Server) -> Reply:
    """Backblaze B2, "Unsupported header 'x-amz-checksum-sha256' received for this API call": iterate-ch/cyberduck#16107."""
    return error(400, "InvalidArgument") if header(asked, _CHECKSUM) else server(asked)


def checksum_refused_501(asked: Asked, server: Server) -> Reply:
    """Cloudflare R2 and others that answer 501 to every header that they do not know: t2bot/matrix-media-repo#414."""
    return error(501, "NotImplemented") if header(asked, _CHECKSUM) else server(asked)


def every_checksum_refused(asked: Asked, server: Server) -> Reply:
    """Gateways that let only the headers pass that they know, and answer 400 without S3's XML."""
    is_refused = header(asked, _CHECKSUM) or header(asked, "content-md5")
    return Reply(400) if is_refused else server(asked)


def checksum_ignored(asked: Asked, server: Server) -> Reply:
    """MinIO before RELEASE.2022-08, Ceph before Squid, DigitalOcean Spaces: they confirm by the ETag alone."""
    return answering(server(without(asked, _CHECKSUM)), x_amz_checksum_sha256=None)


def etag_not_md5(asked: Asked, server: Server) -> Reply:
    """Ceph (ceph/ceph#19062), and every server that encrypts: Amazon documents that such an ETag is no MD5."""
    return _with_longer_etags(asked, "0f", server)


def etag_of_parts(asked: Asked, server: Server) -> Reply:
    """Gateways that upload everything in parts, rclone and Storj among them: the ETag ends with -1, a count of parts."""
    return _with_longer_etags(asked, "-1", server)


def _with_longer_etags(asked: Asked, ending: str, server: Server) -> Reply:
    """Answer with longer ETags, and compare what is asked for with those. No checksum, so that the ETag matters."""
    wanted = header(asked, "if-match")
    reply = answering(server(without(asked, _CHECKSUM, "if-match")), x_amz_checksum_sha256=None)
    found = etag(reply)
    if found is None:
        return reply
    longer = f'{found[:-1]}{ending}"'
    return error(412, "PreconditionFailed") if wanted not in (None, longer) else answering(reply, etag=longer)


def etag_weak(asked: Asked, server: Server) -> Reply:
    """Caches that compress, nginx and Cloudflare: they weaken ETags, and If-Match never matches a weak one (RFC 9110, 13.1.1)."""
    if header(asked, "if-match") is not None:
        return error(412, "PreconditionFailed")
    reply = server(without(asked, _CHECKSUM))
    found = etag(reply)
    return answering(reply, x_amz_checksum_sha256=None, etag=None if found is None else f"W/{found}")


def etag_without_quotes(asked: Asked, server: Server) -> Reply:
    """OpenStack Swift's own API and gateways before it: an ETag is bare, and compared as it is written."""
    wanted = header(asked, "if-match")
    reply = server(without(asked, "if-match"))
    found = etag(reply)
    if found is None:
        return reply
    bare = found.strip('"')
    return error(412, "PreconditionFailed") if wanted not in (None, bare) else answering(reply, etag=bare)


def if_match_unquoted_only(asked: Asked, server: Server) -> Reply:
    """Ceph RGW and DigitalOcean Spaces: 412 for the quoted ETag that they sent (block/buzz#3002, slatedb/slatedb#1818)."""
    is_quoted = (header(asked, "if-match") or "").startswith('"')
    return error(412, "PreconditionFailed") if is_quoted else server(asked)


def if_match_always_refused(asked: Asked, server: Server) -> Reply:
    """SeaweedFS 3.97: 412 for every If-Match of objects that an earlier release wrote (seaweedfs/seaweedfs#7274)."""
    return error(412, "PreconditionFailed") if header(asked, "if-match") else server(asked)


def if_match_not_implemented(asked: Asked, server: Server) -> Reply:
    """Small servers without conditional requests; Amazon's own table of errors has 501 NotImplemented for a header."""
    return error(501, "NotImplemented") if header(asked, "if-match") else server(asked)


def range_ignored(asked: Asked, server: Server) -> Reply:
    """Caches that answer with the whole object: nginx with proxy_cache and without the slice module, gzip filters."""
    return server(without(asked, "range"))


def length_unsaid(asked: Asked, server: Server) -> Reply:
    """Gateways that stream: an object comes without Content-Length, and its end is the connection's."""
    reply = server(asked)
    return replace(reply, length=None) if asked.method == "GET" and reply.status in (200, 206) else reply


def left_aws_chunked(asked: Asked, server: Server) -> Reply:
    """Servers that keep the upload's transport mark on the object: minio/mc#2209."""
    return _marked(asked, "aws-chunked", server)


def left_gzip(asked: Asked, server: Server) -> Reply:
    """Objects that an uploader marked as gzip and that are none: aws/aws-sdk-php#916."""
    return _marked(asked, "gzip", server)


def _marked(asked: Asked, mark: str, server: Server) -> Reply:
    reply = server(asked)
    return answering(reply, content_encoding=mark) if reply.status in (200, 206) and not is_listing(asked) else reply


def redirected_to_another_host(asked: Asked, server: Server) -> Reply:
    """Amazon S3 while a bucket is new, "Request redirection": 307 to the bucket's own host. Wants to be signed for that."""
    host, _, port = (header(asked, "host") or "").partition(":")
    if host == NAME:
        return Reply(307, b"", {"Location": f"http://other.{NAME}:{port}{asked.path}"})
    return server(asked)


def redirected_to_another_path(asked: Asked, server: Server) -> Reply:
    """A proxy with `return 301 /storage$request_uri`, as after a move behind nginx."""
    if not asked.path.startswith("/storage/"):
        return Reply(301, b"", {"Location": f"/storage{asked.path}"})
    return server(replace(asked, path=asked.path.removeprefix("/storage")))


def only_path_addressing(asked: Asked, server: Server) -> Reply:
    """A server behind a certificate or a name server without *.host: MinIO without MINIO_DOMAIN takes the host for nothing."""
    host = (header(asked, "host") or "").partition(":")[0]
    return server(asked) if host == NAME else error(400, "InvalidBucketName")


def only_virtual_hosts(asked: Asked, server: Server) -> Reply:
    """Alibaba OSS, 403 SecondLevelDomainForbidden: "Please use virtual hosted style to access"."""
    host = (header(asked, "host") or "").partition(":")[0]
    if host == NAME:
        return error(403, "SecondLevelDomainForbidden")
    return server(replace(asked, path=f"/{host.removesuffix(f'.{NAME}')}{asked.path}"))


def lists_by_version_1(asked: Asked, server: Server) -> Reply:
    """DigitalOcean Spaces (minio/mc#3067) and old Ceph: ListObjectsV2 gets the answer of ListObjects, without its token."""
    if not is_listing(asked):
        return server(with_query(asked, max_keys="2") if "marker=" in asked.path else asked)
    return server(with_query(asked, "list-type", "start-after", "continuation-token", max_keys="2"))


def refuses_version_2_of_lists(asked: Asked, server: Server) -> Reply:
    """S3Proxy and Scality's server before they had ListObjectsV2: 501 (gaul/s3proxy#168, scality/cloudserver#1191)."""
    return error(501, "NotImplemented") if is_listing(asked) else server(asked)


def lists_bare(asked: Asked, server: Server) -> Reply:
    """Servers that leave out what clients seldom read: KeyCount, EncodingType and the encoding itself; two keys a page."""
    if not is_listing(asked):
        return server(asked)
    reply = server(with_query(asked, "encoding-type", max_keys="2"))
    return replace(reply, body=re.sub(rb"<(KeyCount|MaxKeys)>\d+</\1>", b"", reply.body))


def lists_unsorted(asked: Asked, server: Server) -> Reply:
    """Amazon's directory buckets: "ListObjectsV2 does not return objects in lexicographical order"."""
    reply = server(asked)
    if not is_listing(asked):
        return reply
    backwards = reversed(_CONTENTS.findall(reply.body))
    return replace(reply, body=_CONTENTS.sub(lambda _: next(backwards), reply.body))


def lists_from_the_beginning(asked: Asked, server: Server) -> Reply:
    """Amazon's directory buckets: StartAfter is not supported. Servers that do not know it leave it unread."""
    return server(with_query(asked, "start-after", max_keys="3") if is_listing(asked) else asked)


def no_deletion_of_many(asked: Asked, server: Server) -> Reply:
    """Google's interoperable API, which had no DeleteObjects: 501 for POST /?delete."""
    return error(501, "NotImplemented") if asked.method == "POST" else server(asked)


def head_without_length(asked: Asked, server: Server) -> Reply:
    """Gateways that answer HEAD from GET and forget the length; HTTP allows that (RFC 9110, 9.3.2)."""
    reply = server(asked)
    return replace(reply, length=None) if asked.method == "HEAD" else reply


def odd_times(asked: Asked, server: Server) -> Reply:
    """Servers in a language whose dates follow its locale: `Last-Modified` and listings have times that nobody can parse."""
    reply = server(asked)
    body = (
        re.sub(rb"<LastModified>[^<]*<", b"<LastModified>30 nov. 2026 a 17 h<", reply.body)
        if is_listing(asked)
        else b""
    )
    reply = replace(reply, body=body or reply.body)
    return answering(reply, last_modified="30 nov. 2026 a 17 h") if etag(reply) else reply


def acl_refused(asked: Asked, server: Server) -> Reply:
    """Amazon's buckets since April 2023, whose owner owns every object: 400 AccessControlListNotSupported; R2 has no ACL."""
    return error(400, "AccessControlListNotSupported") if header(asked, "x-amz-acl") else server(asked)


def errors_without_body(asked: Asked, server: Server) -> Reply:
    """Proxies that replace error pages: nginx's proxy_intercept_errors leaves the status alone."""
    reply = server(asked)
    return Reply(reply.status) if reply.status >= 400 else reply


QUIRKS: Final[dict[str, Quirk]] = {
    quirk.__name__: quirk
    for quirk in (
        *(checksum_refused_400, checksum_refused_501, every_checksum_refused, checksum_ignored),
        *(etag_not_md5, etag_of_parts, etag_weak, etag_without_quotes),
        *(if_match_unquoted_only, if_match_always_refused, if_match_not_implemented),
        *(range_ignored, length_unsaid, left_aws_chunked, left_gzip),
        *(redirected_to_another_host, redirected_to_another_path, only_path_addressing, only_virtual_hosts),
        *(lists_by_version_1, refuses_version_2_of_lists, lists_bare, lists_unsorted, lists_from_the_beginning),
        *(no_deletion_of_many, head_without_length, odd_times, acl_refused, errors_without_body),
    )
}
