# Two images: docs/containers.md. The last target has everything; `--target light` has what needs no decoder and no storage.
# The tag is for people, the digest decides. Another base: docker build --build-arg PYTHON_IMAGE=python:3.13-slim .
ARG PYTHON_IMAGE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

FROM ${PYTHON_IMAGE} AS dependencies
# An index or an authority of your own: docker build --secret id=pip.conf,src=… --secret id=ca.pem,src=… (pip.conf: cert = /run/secrets/ca.pem)
RUN python -m venv --without-pip /venv
COPY requirements.lock ./
# The environment holds what runs: no pip, no tests of libraries, and of the clients that boto3 can make only those that a bucket needs.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/root/.config/pip/pip.conf --mount=type=secret,id=ca.pem \
    pip --python /venv/bin/python install --disable-pip-version-check --require-hashes -r requirements.lock \
 && cd /venv/lib/python3.*/site-packages \
 && find . -depth -type d '(' -name tests -o -name test ')' -exec rm -r '{}' + \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r '{}' + \
 && echo /app > app.pth

FROM dependencies AS light-dependencies
RUN pip --python /venv/bin/python uninstall --disable-pip-version-check --quiet --yes \
      av opencv-python-headless numpy pillow resvg-py \
      boto3 botocore s3transfer jmespath yadisk \
      faust-streaming mode-streaming aiokafka cramjam aiohttp aiohttp-cors

# Our own code, in a layer of its own: a release that changes no dependency is a few megabytes.
FROM dependencies AS code
COPY requirements-demo.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/root/.config/pip/pip.conf --mount=type=secret,id=ca.pem \
    sed -n '/^setuptools/,$p' requirements-demo.lock > builder.lock \
 && pip install --disable-pip-version-check --root-user-action=ignore --require-hashes -r builder.lock
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY storage storage
COPY processors processors
COPY streams streams
COPY service service
RUN pip install --disable-pip-version-check --root-user-action=ignore --no-deps --no-build-isolation --target /app . \
 && sed -i '1s|^#!.*|#!/venv/bin/python|' /app/bin/thumbnails

FROM ${PYTHON_IMAGE} AS base
# tini reaps decoders whose slot was killed, and hands signals on.
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# Every user id works: what is written belongs to the group 0, as OpenShift wants it.
RUN install -d -o 10001 -g 0 -m 2775 /var/lib/thumbnails /var/lib/thumbnails/storage
ENV PATH=/app/bin:/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/thumbnails LOCAL_STORAGE_ROOT=/var/lib/thumbnails/storage
USER 10001:0
WORKDIR /var/lib/thumbnails
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["thumbnails", "health", "--timeout", "8"]
ENTRYPOINT ["tini", "--", "thumbnails"]
CMD ["--help"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="thumbnail-pipeline" \
      org.opencontainers.image.description="media.uploaded on Kafka in, thumbnails in each tenant's own storage out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# persist, retry, ingest, web, the jobs, and every command that opens no storage.
FROM base AS light
COPY --from=light-dependencies /venv /venv
COPY --from=code /app /app

FROM base AS full
COPY --from=dependencies /venv /venv
COPY --from=code /app /app
