"""Contenders between processes, which are forked."""

import multiprocessing as mp
import shutil
import tempfile
from importlib import import_module
from typing import Any

from bchan_bench.rivals.rival import Place, Receive, Rival, Send, Shape
from bchan_bench.rivals.zeromq import ZeroMQ

_PROCESSES = frozenset({Place.PROCESSES})
_FIFO_BYTES = 64  # of a message, header and all: enough for an integer

_ctx = mp.get_context("fork")


class ProcessQueue(Rival):
    """A pipe with locks, and in the sender a thread that pickles and writes."""

    label = "multiprocessing.Queue"
    places = _PROCESSES

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue = self._make(shape.capacity)

    def _make(self, capacity: int) -> Any:
        return _ctx.Queue(capacity)

    def sender(self) -> Send:
        """One a call."""
        return self._queue.put  # type: ignore[no-any-return]

    def receiver(self) -> Receive:
        """One a call."""
        return self._queue.get  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the pipe."""
        self._queue.close()


class ProcessSimpleQueue(ProcessQueue):
    """A pipe with locks."""

    label = "multiprocessing.SimpleQueue (limit of a pipe)"

    def _make(self, capacity: int) -> Any:
        del capacity
        return _ctx.SimpleQueue()


class ProcessPipe(Rival):
    """A bare pipe for one sender and one receiver. A batch is pickled as one list."""

    label = "multiprocessing.Pipe (limit of a pipe)"
    places = _PROCESSES
    batches = "list"

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._receiving, self._sending = _ctx.Pipe(duplex=False)

    def sender(self) -> Send:
        """One object a call: an integer or a list."""
        return self._sending.send

    def receiver(self) -> Receive:
        """One object a call: an integer or a list."""
        return self._receiving.recv

    def close(self) -> None:
        """Close both ends."""
        self._receiving.close()
        self._sending.close()


class FasterFifo(Rival):
    """A ring of bytes in shared memory, with a lock and conditions, in C++."""

    label = "faster-fifo"
    places = _PROCESSES
    module = "faster_fifo"
    package = "faster-fifo"
    batches = "list"

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: Any = import_module("faster_fifo").Queue(
            shape.capacity * _FIFO_BYTES, maxsize=shape.capacity
        )

    def sender(self) -> Send:
        """One or many a call."""
        return self._queue.put if self.shape.batch == 1 else self._queue.put_many  # type: ignore[no-any-return]

    def receiver(self) -> Receive:
        """One or many a call."""
        if self.shape.batch == 1:
            return self._queue.get  # type: ignore[no-any-return]
        get_many, most = self._queue.get_many, self.shape.batch

        def receive() -> Any:
            return get_many(max_messages_to_get=most)

        return receive


class Ipc(ZeroMQ):
    """ZeroMQ by a socket of the file system."""

    label = "pyzmq, ipc"
    places = _PROCESSES

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._folder = tempfile.mkdtemp(prefix="bchan-")
        self.address = f"ipc://{self._folder}/socket"

    def sender(self) -> Send:
        """In the child, whose context may not be the parent's."""
        self._make_context()
        return super().sender()

    def receiver(self) -> Receive:
        """In the child, whose context may not be the parent's."""
        self._make_context()
        return super().receiver()

    def close(self) -> None:
        """Remove the socket."""
        super().close()
        shutil.rmtree(self._folder)

    def _make_context(self) -> None:
        self.context = self.new_context()
