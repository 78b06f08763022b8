"""What the server tells about itself, for Prometheus; never what was said."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from harken.serving.response import Response, Status, Times

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_FACTORS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 4.0)


class Metrics:
    """Of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.sessions = Gauge("harken_active_sessions", "Sessions now", registry=self._registry)
        self.queue = Gauge(
            "harken_queue", "Pieces of work for the model, not ended yet", registry=self._registry
        )
        self.refused = Counter(
            "harken_refused_sessions", "Sessions that were not taken on", ["why"], registry=self._registry
        )
        self.errors = Counter(
            "harken_errors", "Errors that clients were told", ["code"], registry=self._registry
        )
        self._replies = Counter(
            "harken_replies", "Replies, by how they ended", ["status"], registry=self._registry
        )
        self._first_audio = Histogram(
            "harken_time_to_first_audio_seconds",
            "From the end of the user's turn to the reply's first sound",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._factor = Histogram(
            "harken_real_time_factor",
            "Time from the end of the user's turn to the reply's last sound, over the length of its sound",
            buckets=_FACTORS,
            registry=self._registry,
        )

    def replied(self, response: Response) -> None:
        """A response is over."""
        assert response.status is not None
        self.spoke(response.times, response.item.duration_ms / 1000, response.status)

    def spoke(self, times: Times, sound_s: float, status: Status) -> None:
        """A reply is over that has so much sound."""
        self._replies.labels(status).inc()
        if times.first_audio_s is not None and times.last_audio_s is not None and sound_s > 0:
            self._first_audio.observe(times.first_audio_s - times.asked_s)
            self._factor.observe((times.last_audio_s - times.asked_s) / sound_s)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)
