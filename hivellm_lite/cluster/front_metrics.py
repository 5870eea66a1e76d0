"""Metrics of a fleet: those of every replica under its name, and those of the front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import Response

from ..inference.off_loop import off_loop
from ..server.admission import Admission
from .relay import Replicas

__all__ = ["FrontMetrics", "merged"]


class FrontMetrics:
    """Counts what the front does, and answers ``GET /metrics`` for all."""

    def __init__(self, replicas: Replicas, admission: Admission) -> None:
        self._replicas = replicas
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "hivellm_front_requests",
            "Requests that the front has handed over or refused",
            ["status"],
            registry=self._registry,
        )
        waiting = Gauge(
            "hivellm_front_answers",
            "Requests that the front waits for",
            registry=self._registry,
        )
        waiting.set_function(lambda: admission.n_busy)

    def ended(self, status: int) -> None:
        """Count a request by the status of its response."""
        self._requests.labels(str(status)).inc()

    async def page(self, _request: Request) -> Response:
        """``GET /metrics``, written in a thread: many replicas with many experts are megabytes."""
        pages = await self._replicas.metrics()
        text = generate_latest(self._registry) + await off_loop(lambda: merged(pages))
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def merged(pages: Mapping[str, bytes]) -> bytes:
    """The samples of several pages in Prometheus' text format, each labelled with its replica."""
    registry = CollectorRegistry()
    registry.register(_Pages(pages))
    return generate_latest(registry)


class _Pages(Collector):
    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self._pages = pages

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for replica, page in self._pages.items():
            for family in text_string_to_metric_families(page.decode("utf-8")):
                known = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                known.samples += _labelled(family, replica)
        return families.values()


def _labelled(family: Metric, replica: str) -> Iterator[Sample]:
    for sample in family.samples:
        yield sample._replace(labels={**sample.labels, "replica": replica})
