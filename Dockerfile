# One image for all three roles: docker run --init IMAGE worker | persist | retry
# (--init, or a pod's own init, reaps decoders whose slot was killed.)
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements.lock ./
# The environment that is handed on holds what runs, not pip.
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY storage storage
COPY processors processors
COPY streams streams
COPY service service
RUN pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/thumbnails thumbnails
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LOCAL_STORAGE_ROOT=/var/lib/thumbnails/storage
RUN install -d -o thumbnails /var/lib/thumbnails/storage
USER thumbnails
WORKDIR /var/lib/thumbnails
EXPOSE 8080
ENTRYPOINT ["thumbnails"]
CMD ["--help"]
