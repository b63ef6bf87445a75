"""Random programs over the API, on one thread, against a model of plain queues."""

from collections import deque
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import bchan
from bchan import Channel, Closed, EndOfChannel
from bchan._producer import Producer
from bchan._types import Mode

if TYPE_CHECKING:
    from bchan._consumer import Consumer

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]


class ChannelMachine(RuleBasedStateMachine):
    """A channel, its handles, and what must be in it."""

    producers = Bundle("producers")

    @initialize(
        mode=st.sampled_from(MODES),
        dtype=st.sampled_from(["u4", "O"]),
        capacity=st.integers(1, 9),
        is_kept=st.booleans(),
    )
    def make(self, mode: Mode, dtype: str, capacity: int, is_kept: bool) -> None:
        most = 1 if mode in ("spsc", "spmc") else 3
        self.ch = Channel(dtype, capacity, mode, max_producers=most, keep_open=is_kept)
        self.is_kept = is_kept
        self.is_shared = mode in ("spmc", "mpmc")
        self.most = most
        # One queue for each producer, or one for all.
        self.queues: dict[int, deque[int]] = {}
        self.open: set[int] = set()
        self.consumers: list[Consumer] = [self.ch.consumer()]
        self.next_item, self.is_closed, self.ever, self.has_ended = 0, False, False, False

    def queue_of(self, number: int) -> deque[int]:
        return self.queues.setdefault(0 if self.is_shared else number, deque())

    def in_flight(self) -> int:
        return sum(map(len, self.queues.values()))

    def is_over(self) -> bool:
        return self.is_closed or self.has_ended or (self.ever and not self.open)

    @rule(target=producers)
    def register(self) -> tuple[int, Producer] | tuple[int, None]:
        number = len(self.queues) + 1000 * len(self.open) + self.next_item * 7 + 1
        try:
            tx = self.ch.producer()
        except Closed:
            assert self.is_closed or self.has_ended
            return number, None
        except RuntimeError:
            assert len(self.open) == self.most
            return number, None
        assert not (self.is_closed)
        assert not (self.has_ended)
        assert len(self.open) != self.most
        self.open.add(id(tx))
        self.ever = True
        return id(tx), tx

    @rule(handle=consumes(producers))
    def leave(self, handle: tuple[int, Producer | None]) -> None:
        number, tx = handle
        if tx is not None:
            tx.close()
            self.open.discard(number)

    def items(self, n: int) -> list[int]:
        self.next_item += n
        return list(range(self.next_item - n, self.next_item))

    @rule(handle=producers, n=st.integers(1, 12), way=st.sampled_from(["one", "batch", "place"]))
    def send(self, handle: tuple[int, Producer | None], n: int, way: str) -> None:
        number, tx = handle
        if tx is None or tx.closed:
            return
        items = self.items(1 if way == "one" else n)
        try:
            if way == "one":
                sent = int(tx.try_send(items[0]))
            elif way == "batch" or self.ch.dtype == object:
                sent = tx.try_send_batch(items)
            else:
                slots = tx.try_reserve(n)
                sent = 0 if slots is None else max(1, len(slots) // 2)
                if slots is not None:
                    slots[:sent] = items[:sent]
                    tx.commit(sent)
        except Closed:
            assert self.is_closed or self.has_ended
            return
        assert not self.is_closed
        queue = self.queue_of(number)
        if self.is_shared:
            assert sent or len(queue) == self.ch.capacity
        queue.extend(items[:sent])

    @rule(n=st.integers(1, 12), way=st.sampled_from(["one", "batch", "look"]), which=st.integers(0))
    def receive(self, n: int, way: str, which: int) -> None:
        rx: Any = self.consumers[which % len(self.consumers)]
        try:
            if way == "one":
                item = rx.try_receive()
                got = [] if item is None else [item]
            elif way == "batch" or self.ch.dtype == object:
                got = list(rx.try_receive_batch(n))
            else:
                view = rx.try_peek(n)
                got = []
                if view is not None:
                    got = view[: max(1, len(view) // 2)].tolist()
                    rx.release(len(got))
        except EndOfChannel:
            assert self.in_flight() == 0
            assert self.is_over()
            self.has_ended = True
            return
        if not got:
            assert self.in_flight() == 0
            assert not self.is_over()
        for item in map(int, got):
            fronts = [queue for queue in self.queues.values() if queue and queue[0] == item]
            assert fronts, f"{item} is first in no queue"
            fronts[0].popleft()

    @rule()
    def another_consumer(self) -> None:
        if not self.is_shared:
            self.a_consumer_leaves()
        else:
            self.consumers.append(self.ch.consumer())

    @rule()
    def a_consumer_leaves(self) -> None:
        self.consumers.pop().close()
        if not self.consumers:
            self.is_closed |= not self.is_kept
            assert self.ch.closed == self.is_closed
            self.consumers.append(self.ch.consumer())

    @rule(sure=st.integers(0, 9))
    def close(self, sure: int) -> None:
        if sure == 0:
            self.ch.close()
            self.is_closed = True

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "ch"):
            assert len(self.ch) == self.in_flight()
            stats = self.ch.stats()
            assert stats.sent - stats.received == self.in_flight()
            assert self.ch.active_producers == len(self.open)


def slots_of(message: bytes) -> int:
    return max(1, -(-len(message) // 64))


class BytesMachine(RuleBasedStateMachine):
    """A channel of bytes: what is in it, and that there is room just when there is."""

    @initialize(mode=st.sampled_from(MODES), capacity=st.sampled_from([1, 2, 4, 8]))
    def make(self, mode: Mode, capacity: int) -> None:
        most = 1 if mode in ("spsc", "spmc") else 2
        self.ch = Channel(bytes, capacity, mode, max_producers=most, keep_open=True)
        self.is_shared = mode in ("spmc", "mpmc")
        self.senders = [self.ch.producer() for _ in range(most)]
        self.consumers = [self.ch.consumer() for _ in range(1 + self.is_shared)]
        # One queue for each producer, or one for all.
        self.queues: list[deque[bytes]] = [deque() for _ in range(1 if self.is_shared else most)]
        self.next_message, self.is_closed = 0, False

    def message(self, length: int) -> bytes:
        self.next_message += 1
        number = b"%d." % self.next_message
        return (number * length)[: min(length, self.ch.max_message_size)]

    @rule(
        who=st.integers(0, 1),
        length=st.sampled_from([0, 1, 3, 63, 64, 65, 128, 129, 200, 512]),
        way=st.sampled_from(["one", "batch", "place", "part", "abort"]),
    )
    def send(self, who: int, length: int, way: str) -> None:
        tx, message = self.senders[who % len(self.senders)], self.message(length)
        queue = self.queues[who % len(self.queues)]
        try:
            sent = self.send_by(tx, message, way)
        except Closed:
            assert self.is_closed
            return
        assert not self.is_closed
        wanted = self.ch.capacity if way == "part" else slots_of(message)
        assert sent == (sum(map(slots_of, queue)) + wanted <= self.ch.capacity)
        if sent and way != "abort":
            queue.append(message)

    def send_by(self, tx: bchan.BytesProducer, message: bytes, way: str) -> bool:
        if way == "one":
            return tx.try_send(message)
        if way == "batch":
            return tx.try_send_batch([message]) == 1
        room = tx.try_reserve(self.ch.max_message_size if way == "part" else len(message))
        if room is None:
            return False
        room[: len(message)] = message
        tx.abort() if way == "abort" else tx.commit(len(message))
        return True

    @rule(
        who=st.integers(0, 1),
        n=st.integers(1, 5),
        way=st.sampled_from(["one", "batch", "into", "small", "look", "leave"]),
    )
    def receive(self, who: int, n: int, way: str) -> None:
        rx = self.consumers[who % len(self.consumers)]
        try:
            got = self.receive_by(rx, n, way)
        except EndOfChannel:
            assert self.is_closed
            assert not any(self.queues)
            return
        if got is None:
            return
        if not got:
            assert not any(self.queues)
            assert not self.is_closed
        for message in got:
            fronts = [queue for queue in self.queues if queue and queue[0] == message]
            assert fronts, f"{message!r} is first in no queue"
            fronts[0].popleft()

    def receive_by(self, rx: bchan.BytesConsumer, n: int, way: str) -> list[bytes] | None:
        if way == "one":
            message = rx.try_receive()
            return [] if message is None else [message]
        if way == "batch":
            return rx.try_receive_batch(n)
        if way in ("into", "small"):
            buffer = bytearray(self.ch.max_message_size if way == "into" else 2)
            try:
                length = rx.try_receive_into(buffer)
            except ValueError:
                assert way == "small"
                return None
            return [] if length is None else [bytes(buffer[:length])]
        view = rx.try_peek()
        if view is None:
            return []
        seen = bytes(view)
        rx.release(int(way == "look"))
        return [seen] if way == "look" else None

    @rule(sure=st.integers(0, 19))
    def close(self, sure: int) -> None:
        if sure == 0:
            self.ch.close()
            self.is_closed = True

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "ch"):
            in_flight = sum(map(len, self.queues))
            stats = self.ch.stats()
            assert len(self.ch) == in_flight == stats.sent - stats.received


class QueueMachine(RuleBasedStateMachine):
    """`bchan.Queue` and a deque."""

    @initialize(maxsize=st.integers(0, 5))
    def make(self, maxsize: int) -> None:
        self.q: bchan.Queue[int] = bchan.Queue(maxsize)
        self.model: deque[int] = deque()
        self.unfinished = self.next_item = 0
        self.is_shut = False

    @rule()
    def put(self) -> None:
        self.next_item += 1
        try:
            self.q.put_nowait(self.next_item)
        except bchan.Full:
            assert not self.is_shut
            assert 0 < self.q.maxsize <= len(self.model)
        except bchan.ShutDown:
            assert self.is_shut
        else:
            assert not self.is_shut
            self.model.append(self.next_item)
            self.unfinished += 1

    @rule()
    def get(self) -> None:
        try:
            item = self.q.get_nowait()
        except bchan.Empty:
            assert not self.model
            assert not self.is_shut
        except bchan.ShutDown:
            assert self.is_shut
            assert not self.model
        else:
            assert item == self.model.popleft()

    @rule()
    def task_done(self) -> None:
        try:
            self.q.task_done()
        except ValueError:
            assert self.unfinished == 0
        else:
            self.unfinished -= 1

    @rule(maxsize=st.integers(1, 4))
    def shrink(self, maxsize: int) -> None:
        if 0 < maxsize < self.q.maxsize:
            self.q.maxsize = maxsize

    @rule(sure=st.integers(0, 9), immediate=st.booleans())
    def shutdown(self, sure: int, immediate: bool) -> None:
        if sure == 0:
            self.q.shutdown(immediate)
            self.is_shut = True
            if immediate:
                self.unfinished -= min(len(self.model), self.unfinished)
                self.model.clear()

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "q"):
            assert self.q.qsize() == len(self.model)
            assert self.q.empty() == (not self.model)
            assert self.q.full() == (0 < self.q.maxsize <= len(self.model))
            assert self.q.unfinished_tasks == self.unfinished


SETTINGS = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestChannel = ChannelMachine.TestCase
TestChannel.settings = SETTINGS
TestBytes = BytesMachine.TestCase
TestBytes.settings = SETTINGS
TestQueue = QueueMachine.TestCase
TestQueue.settings = SETTINGS
