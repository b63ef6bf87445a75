"""Bounded channels between threads: batches, zero-copy, back-pressure, termination.

Example:
    >>> import threading
    >>> import numpy as np
    >>> import bchan
    >>> ch = bchan.Channel(np.uint64, capacity=1024, mode="mpsc", max_producers=2)
    >>> def produce(tx: bchan.Producer) -> None:
    ...     with tx:
    ...         tx.send_batch(np.arange(1000, dtype=np.uint64))
    >>> threads = [threading.Thread(target=produce, args=(ch.producer(),)) for _ in range(2)]
    >>> for thread in threads:
    ...     thread.start()
    >>> int(sum(batch.sum() for batch in ch.consumer().batches(256)))
    999000
"""

from bchan._build import BuildInfo, __version__, build_info
from bchan._bytes import BytesConsumer, BytesProducer
from bchan._channel import BytesChannel, Channel, PickledChannel
from bchan._consumer import Consumer
from bchan._core import ChannelError, Closed, EndOfChannel
from bchan._pickled import PickledConsumer, PickledProducer
from bchan._producer import Producer
from bchan._selecting import Selected, aselect, select
from bchan._stats import Stats
from bchan._timers import Timer, after, tick
from bchan._tuning import Tuning
from bchan.queues import Empty, Full, LifoQueue, PriorityQueue, Queue, ShutDown, SimpleQueue

__all__ = [
    "BuildInfo",
    "BytesChannel",
    "BytesConsumer",
    "BytesProducer",
    "Channel",
    "ChannelError",
    "Closed",
    "Consumer",
    "Empty",
    "EndOfChannel",
    "Full",
    "LifoQueue",
    "PickledChannel",
    "PickledConsumer",
    "PickledProducer",
    "PriorityQueue",
    "Producer",
    "Queue",
    "Selected",
    "ShutDown",
    "SimpleQueue",
    "Stats",
    "Timer",
    "Tuning",
    "__version__",
    "after",
    "aselect",
    "build_info",
    "select",
    "tick",
]
