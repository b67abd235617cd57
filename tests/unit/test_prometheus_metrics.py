"""The six metrics that the platform's dashboards rely on: exact names, labels and values."""

import asyncio

import pytest
from prometheus_client import generate_latest

from schemas.errors import ErrorCode, TransientError
from schemas.metrics import Metrics
from streams.thumbnails.service import Progress
from tests.doubles.pipeline import a_flow, an_upload

PLATFORM_METRICS = {
    "thumbnail_generation_total": ("type", "status"),
    "thumbnail_generation_duration_seconds": ("type",),
    "thumbnail_upload_total": ("provider", "status"),
    "thumbnail_upload_duration_seconds": ("provider",),
    "thumbnail_task_execution_total": ("task_type", "status"),
    "thumbnail_task_execution_duration_seconds": ("task_type",),
}


@pytest.mark.parametrize("name", PLATFORM_METRICS)
def test_the_platforms_metrics_have_their_exact_names_and_labels(name: str) -> None:
    collectors = Metrics().registry._names_to_collectors
    assert collectors[name]._labelnames == PLATFORM_METRICS[name]  # type: ignore[attr-defined]


def test_uploads_of_renditions_are_counted_by_provider_and_status() -> None:
    flow = a_flow()
    flow.tenants.own.fail_next("upload_file", TransientError(ErrorCode.STORAGE_FULL, "Full."))
    with pytest.raises(TransientError):
        asyncio.run(flow.service.create(an_upload(), Progress(), attempt=1, is_final=lambda _: False))
    asyncio.run(flow.service.create(an_upload(), Progress(), attempt=2, is_final=lambda _: False))

    value = flow.metrics.registry.get_sample_value
    assert value("thumbnail_upload_total", {"provider": "memory", "status": "success"}) == 3
    assert value("thumbnail_upload_total", {"provider": "memory", "status": "failed"}) == 1
    assert value("thumbnail_upload_duration_seconds_count", {"provider": "memory"}) == 4


def test_no_label_names_a_company_or_a_media() -> None:
    metrics = Metrics()
    labels = {label for c in metrics.registry._names_to_collectors.values() for label in c._labelnames}  # type: ignore[attr-defined]
    unbounded = {"company", "company_id", "tenant", "media", "media_id", "key", "event_id", "connection_id", "url"}
    assert labels & unbounded == set()


def test_every_metric_is_exported_with_help() -> None:
    text = generate_latest(Metrics().registry).decode()
    assert text.count("# HELP thumbnail_") == text.count("# TYPE thumbnail_") > 20
