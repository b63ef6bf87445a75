"""Channels as metrics for Prometheus; needs `bchan[prometheus]`.

Nothing is counted for it: a scrape reads the channels' own counters.

Example:
    >>> import bchan
    >>> import bchan.prometheus
    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> orders = bchan.Channel("u8", capacity=1024)
    >>> bchan.prometheus.Collector(registry).add("orders", orders)
    >>> orders.send_batch(range(10))
    >>> for line in generate_latest(registry).decode().splitlines():
    ...     if line.startswith(("bchan_sent_total", "bchan_in_flight")):
    ...         print(line)
    bchan_sent_total{channel="orders"} 10.0
    bchan_in_flight{channel="orders"} 10.0
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from bchan import Channel, Stats, _names, _sharing

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector as _Collector
except ImportError as error:
    raise ImportError(
        "bchan.prometheus needs prometheus-client: pip install 'bchan[prometheus]'"
    ) from error

__all__ = ["Collector"]

_Family = CounterMetricFamily | GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class _Metric:
    kind: type[_Family]
    name: str
    help: str
    value: Callable[[Channel, Stats], float]

    def family(self) -> _Family:
        """The metric without a value yet."""
        return self.kind(self.name, self.help, labels=["channel"])


_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily
_METRICS = (
    _Metric(_COUNTER, "bchan_sent_total", "Messages sent.", lambda _, stats: stats.sent),
    _Metric(
        _COUNTER,
        "bchan_received_total",
        "Messages received and released.",
        lambda _, stats: stats.received,
    ),
    _Metric(_COUNTER, "bchan_waits_total", "Times a thread parked.", lambda _, stats: stats.waits),
    _Metric(
        _COUNTER,
        "bchan_wakes_total",
        "System calls made to wake a parked thread.",
        lambda _, stats: stats.wakes,
    ),
    _Metric(
        _COUNTER,
        "bchan_parked_seconds_total",
        "Seconds that threads spent parked, added up when they were woken.",
        lambda _, stats: stats.time_parked,
    ),
    _Metric(
        _COUNTER,
        "bchan_abandoned_total",
        "Slots of a shared ring that were reserved and never sent.",
        lambda _, stats: stats.abandoned,
    ),
    _Metric(
        _COUNTER,
        "bchan_deaths_total",
        "Handles whose process died, and that were cleared up after.",
        lambda _, stats: stats.deaths,
    ),
    _Metric(
        _GAUGE, "bchan_in_flight", "Messages sent and not yet received.", lambda ch, _: len(ch)
    ),
    _Metric(
        _GAUGE,
        "bchan_capacity",
        "Messages that may be in flight, in the modes spsc and mpsc for each producer.",
        lambda ch, _: ch.capacity,
    ),
    _Metric(
        _GAUGE,
        "bchan_mapped_bytes",
        "Address space that the channel takes.",
        lambda _, stats: stats.bytes_mapped,
    ),
    _Metric(
        _GAUGE, "bchan_producers", "Producers registered now.", lambda ch, _: ch.active_producers
    ),
)


class Collector(_Collector):
    """Tells a registry of Prometheus about channels, each under the label `channel`.

    Args:
        registry: Who asks; None for none, as when the collector is registered elsewhere.

    Raises:
        ValueError: The registry has such a collector.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._channels: dict[str, Callable[[], Channel | None]] = {}
        if registry is not None:
            registry.register(self)

    def add(self, name: str, channel: Channel) -> None:
        """Tell about a channel until it is dropped; the collector does not keep it.

        Args:
            name: Value of the label `channel`.
            channel: What to tell about.

        Raises:
            TypeError: What is no channel.
            ValueError: Another channel has the name here.
        """
        if not isinstance(channel, Channel):
            raise TypeError(f"channel must be a bchan.Channel, got {channel!r}")
        self._add(name, weakref.ref(channel))

    def add_named(self, name: str) -> None:
        """Tell about the shared channel of a name, found anew at each scrape, while there is one.

        Args:
            name: The channel's own, as for `Channel.attach`, and value of the label `channel`.

        Raises:
            ValueError: A name that is none, or that another channel has here.
        """
        self._add(_names.checked(name), lambda: _found(name))

    def remove(self, name: str) -> None:
        """Tell no more about a channel.

        Args:
            name: As when it was added.

        Raises:
            KeyError: There is none of that name here.
        """
        del self._channels[name]

    def describe(self) -> Iterator[_Family]:
        """The metrics, without values."""
        return (metric.family() for metric in _METRICS)

    def collect(self) -> Iterator[_Family]:
        """The metrics of all channels that there are now."""
        families = [metric.family() for metric in _METRICS]
        for name, found in dict(self._channels).items():
            channel = found()
            if channel is None:
                continue
            with suppress(RuntimeError):  # it came through a fork, and is the parent's
                stats = channel.stats()
                values = [metric.value(channel, stats) for metric in _METRICS]
                for family, value in zip(families, values, strict=True):
                    family.add_metric([name], value)
        return iter(families)

    def _add(self, name: str, found: Callable[[], Channel | None]) -> None:
        known = self._channels.get(name)
        if known is not None and known() is not None:
            raise ValueError(f"name must be one that no other channel has here, got {name!r}")
        self._channels[name] = found


def _found(name: str) -> Channel | None:
    with suppress(OSError, ValueError):
        return _sharing.look_for(name)[0]
    return None
