"""Figures for Prometheus: what they are called, and where they go.

They are always kept in this process, and ``/metrics`` shows them: all there is where one process serves. Under Ray
Serve a request for ``/metrics`` reaches any one replica, and the engines are other processes; there the same figures
also go to Ray, whose agent on every node exports them (``ray start --metrics-export-port``) with ``ray_`` in front of
the names. ``serve/grafana.json`` draws either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import msgspec
import prometheus_client as prometheus

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)


class Figure(msgspec.Struct, frozen=True):
    """One metric; `buckets` are a histogram's upper bounds, in seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    says: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FIGURES: Final[Mapping[str, Figure]] = {
    "kpray_requests_total": Figure("counter", "Requests, by how they ended", ("route", "model", "status")),
    "kpray_errors_total": Figure("counter", "Errors told to clients, by their code", ("route", "code")),
    "kpray_request_seconds": Figure("histogram", "First byte in to last byte out", ("route", "model"), _SECONDS),
    "kpray_prompt_tokens_total": Figure("counter", "Tokens asked, of images too", ("model",)),
    "kpray_completion_tokens_total": Figure("counter", "Tokens answered", ("model",)),
    "kpray_first_token_seconds": Figure("histogram", "First byte in to first text", ("model",), _SECONDS),
    "kpray_between_tokens_seconds": Figure("histogram", "From one piece of text to the next", ("model",), _SHORT),
    "kpray_in_flight": Figure("gauge", "Requests being answered by this process"),
}


class Sink(Protocol):
    """Keeps figures."""

    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Add to a counter, observe in a histogram, or set a gauge."""


class Telemetry:
    """The figures of one gateway."""

    def __init__(self, *, to_ray: bool = False, figures: Mapping[str, Figure] = FIGURES) -> None:
        """Make all figures.

        Args:
            to_ray: Whether they go to Ray's agents too; needs a process of a Ray cluster.
            figures: What is kept.
        """
        self._registry = prometheus.CollectorRegistry()
        self._sinks: list[Sink] = [_Local(figures, self._registry)]
        if to_ray:
            self._sinks.append(_OfRay(figures))

    def put(self, name: str, value: float = 1, **labels: str) -> None:
        """Add to a counter, observe in a histogram, or set a gauge."""
        for sink in self._sinks:
            sink.put(name, value, labels)

    def exposition(self) -> bytes:
        """This process's figures in Prometheus' text format 0.0.4, whose media type is `EXPOSITION_TYPE`."""
        return prometheus.generate_latest(self._registry)


EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Local:
    """Figures of this process."""

    def __init__(self, figures: Mapping[str, Figure], registry: prometheus.CollectorRegistry) -> None:
        self._put = {name: _recorder(name, figure, registry) for name, figure in figures.items()}

    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        metric, method = self._put[name]
        getattr(metric.labels(**labels) if labels else metric, method)(value)


def _recorder(name: str, figure: Figure, registry: prometheus.CollectorRegistry) -> tuple[Any, str]:
    if figure.kind == "counter":
        return prometheus.Counter(name, figure.says, figure.labels, registry=registry), "inc"
    if figure.kind == "gauge":
        return prometheus.Gauge(name, figure.says, figure.labels, registry=registry), "set"
    return prometheus.Histogram(name, figure.says, figure.labels, buckets=figure.buckets, registry=registry), "observe"


class _OfRay:
    """Figures that Ray's agents export."""

    def __init__(self, figures: Mapping[str, Figure]) -> None:
        self._put = {name: _ray_recorder(name, figure) for name, figure in figures.items()}
        self._counters = {name for name, figure in figures.items() if figure.kind == "counter"}

    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        if value or name not in self._counters:  # Ray's counters refuse to count nothing
            self._put[name](value, tags=dict(labels))


def _ray_recorder(name: str, figure: Figure) -> Any:
    from ray.util import metrics  # a plain process needs none of Ray

    if figure.kind == "counter":
        return metrics.Counter(name, figure.says, figure.labels).inc
    if figure.kind == "gauge":
        return metrics.Gauge(name, figure.says, figure.labels).set
    return metrics.Histogram(name, figure.says, list(figure.buckets), figure.labels).observe
