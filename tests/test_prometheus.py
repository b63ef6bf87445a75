"""`bchan.prometheus`: what a scrape says is what the channels did."""

import gc
import os
import subprocess
import sys
import urllib.request
from uuid import uuid4

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from bchan import Channel
from bchan.prometheus import Collector
from tests.support import Task, until_parked

METRICS = {
    "bchan_sent_total": "counter",
    "bchan_received_total": "counter",
    "bchan_waits_total": "counter",
    "bchan_wakes_total": "counter",
    "bchan_parked_seconds_total": "counter",
    "bchan_abandoned_total": "counter",
    "bchan_deaths_total": "counter",
    "bchan_in_flight": "gauge",
    "bchan_capacity": "gauge",
    "bchan_mapped_bytes": "gauge",
    "bchan_producers": "gauge",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scraped(registry: CollectorRegistry) -> dict[str, dict[str, float]]:
    """Of each channel, each metric's value, as Prometheus would parse it."""
    return parsed(generate_latest(registry).decode())


def parsed(text: str) -> dict[str, dict[str, float]]:
    channels: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert METRICS[sample.name] == family.type
            assert family.documentation
            channels.setdefault(sample.labels["channel"], {})[sample.name] = sample.value
    return channels


def test_every_metric_is_what_the_channel_did(registry: CollectorRegistry) -> None:
    ch = Channel("u8", capacity=64, mode="spmc")
    tx, rx = ch.producer(), ch.consumer()
    Collector(registry).add("orders", ch)
    receiving = Task(rx.receive)
    until_parked(ch)
    tx.send(1)
    receiving.result()
    tx.send_batch(range(9))
    rx.receive_batch(3)
    tx.reserve(5)
    tx.commit(1)
    told, stats = scraped(registry)["orders"], ch.stats()
    assert told == {
        "bchan_sent_total": 11,
        "bchan_received_total": 4,
        "bchan_waits_total": stats.waits,
        "bchan_wakes_total": stats.wakes,
        "bchan_parked_seconds_total": stats.time_parked,
        "bchan_abandoned_total": stats.abandoned,
        "bchan_deaths_total": 0,
        "bchan_in_flight": 7,
        "bchan_capacity": 64,
        "bchan_mapped_bytes": stats.bytes_mapped,
        "bchan_producers": 1,
    }
    assert set(told) == set(METRICS)
    assert min(stats.waits, stats.wakes, stats.time_parked, stats.bytes_mapped) > 0


def test_abandoned_slots_are_told(registry: CollectorRegistry) -> None:
    ch = Channel("u8", capacity=64)
    first, second = ch.producer(), ch.producer()
    Collector(registry).add("orders", ch)
    first.reserve(4)
    second.send(1)
    first.abort()
    assert scraped(registry)["orders"]["bchan_abandoned_total"] == ch.stats().abandoned == 4


def test_a_channel_that_is_dropped_disappears(registry: CollectorRegistry) -> None:
    kept, dropped = Channel("u8"), Channel("u8")
    collector = Collector(registry)
    collector.add("kept", kept)
    collector.add("dropped", dropped)
    assert set(scraped(registry)) == {"kept", "dropped"}
    del dropped
    gc.collect()
    assert set(scraped(registry)) == {"kept"}
    collector.add("dropped", Channel("u8"))  # the name is free again
    collector.remove("kept")
    gc.collect()
    assert scraped(registry) == {}


def test_a_named_channel_is_found_as_long_as_there_is_one(registry: CollectorRegistry) -> None:
    name = f"test-prometheus-{uuid4().hex}"
    Collector(registry).add_named(name)
    assert scraped(registry) == {}
    for sent in (3, 5):
        ch = Channel("u8", name=name)
        ch.send_batch(range(sent))
        assert scraped(registry)[name]["bchan_sent_total"] == sent
        del ch
        gc.collect()
        assert scraped(registry) == {}


def test_one_name_is_one_channel(registry: CollectorRegistry) -> None:
    collector, ch = Collector(registry), Channel("u8")
    collector.add("orders", ch)
    with pytest.raises(ValueError, match="no other channel has here, got 'orders'"):
        collector.add("orders", Channel("u8"))
    with pytest.raises(ValueError, match="got 'orders'"):
        collector.add_named("orders")
    with pytest.raises(ValueError, match="got 'no/name'"):
        collector.add_named("no/name")
    with pytest.raises(TypeError, match=r"channel must be a bchan\.Channel, got 7"):
        collector.add("seven", 7)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        collector.remove("nobody")


def test_a_registry_has_one_collector(registry: CollectorRegistry) -> None:
    Collector(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Collector(registry)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_channel_that_came_through_a_fork_is_left_to_the_parent(
    registry: CollectorRegistry,
) -> None:
    ch = Channel("u8")
    Collector(registry).add("orders", ch)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if scraped(registry) == {} else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert set(scraped(registry)) == {"orders"}


def test_a_scrape_over_http_says_the_same(registry: CollectorRegistry) -> None:
    ch = Channel("u8", capacity=1024)
    Collector(registry).add("orders", ch)
    ch.send_batch(range(100))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            told = parsed(answer.read().decode())
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
    assert told["orders"]["bchan_sent_total"] == told["orders"]["bchan_in_flight"] == 100


def test_a_missing_client_is_named_with_what_to_install() -> None:
    script = "import sys; sys.modules['prometheus_client'] = None; import bchan.prometheus"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: bchan.prometheus needs prometheus-client: pip install 'bchan[prometheus]'"
    )
