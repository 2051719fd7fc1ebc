"""Metrics of the service for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tasks.models.served import Served
from tasks.sinks.telling import Telling

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Names begin with inspectline_; one instance per service."""

    def __init__(self, served: list[Served], telling: Telling | None = None) -> None:
        self.served = served
        self.telling = telling
        self.registry = registry = CollectorRegistry()
        self.decisions = Counter(
            "inspectline_inspections",
            "Images inspected",
            ["product", "decision"],
            registry=registry,
        )
        self.refused = Counter(
            "inspectline_refused", "Requests refused", ["status"], registry=registry
        )
        self.seconds = Histogram(
            "inspectline_seconds",
            "From the whole upload to the answer",
            ["product"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "inspectline_batch_images", "Images of a batch", buckets=IMAGES, registry=registry
        )
        self.waiting = Gauge("inspectline_waiting", "Requests in progress", registry=registry)
        self.pixels = Gauge("inspectline_pixels", "Pixels at work", registry=registry)
        self.champion = Gauge(
            "inspectline_champion",
            "1 for the release that inspects",
            ["product", "release", "algorithm"],
            registry=registry,
        )
        self.trouble = Gauge(
            "inspectline_trouble",
            "1 if the last check for a champion failed",
            ["product"],
            registry=registry,
        )

        self.unsent = Gauge(
            "inspectline_unsent",
            "Results that a sink has not acknowledged",
            ["sink"],
            registry=registry,
        )

        self.sink_refused = Gauge(
            "inspectline_sink_refused",
            "Results that a sink refused for good, and that are kept",
            ["sink"],
            registry=registry,
        )

    def text(self, pixels: int) -> bytes:
        """In Prometheus' text format. pixels: at work."""
        self.pixels.set(pixels)
        self.champion.clear()
        for one in self.served:
            now = one.champion
            self.champion.labels(one.product, now.release, now.algorithm).set(1)
            self.trouble.labels(one.product).set(bool(one.trouble))
        for name, count in self.telling.deliveries.waiting.items() if self.telling else ():
            self.unsent.labels(name).set(count)
        for name, count in self.telling.deliveries.refused.items() if self.telling else ():
            self.sink_refused.labels(name).set(count)
        return generate_latest(self.registry)
