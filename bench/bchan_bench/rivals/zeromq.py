"""ZeroMQ, which carries bytes: 8 of an integer, 512 of an array of 64."""

from importlib import import_module
from typing import Any

import numpy as np

from bchan_bench.rivals.rival import Receive, Rival, Send, Shape


class ZeroMQ(Rival):
    """PUSH sockets that connect to one PULL socket. Its limit is half at each side."""

    module = "zmq"
    package = "pyzmq"
    batches = "array"
    context: Any = None
    address: str

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._sockets: list[Any] = []
        self._zmq: Any = import_module("zmq")

    def new_context(self) -> Any:
        """One for this process."""
        return self._zmq.Context()

    def sender(self) -> Send:
        """One or many in one message."""
        socket = self._socket(self._zmq.PUSH, self._zmq.SNDHWM)
        socket.reconnect_ivl = 1
        socket.connect(self.address)
        send_bytes = socket.send
        if self.shape.batch > 1:
            return send_bytes  # type: ignore[no-any-return]

        def send(item: int) -> None:
            send_bytes(item.to_bytes(8, "little"))

        return send

    def receiver(self) -> Receive:
        """As many as the sender put into the message."""
        socket = self._socket(self._zmq.PULL, self._zmq.RCVHWM)
        socket.bind(self.address)
        receive_bytes = socket.recv
        if self.shape.batch > 1:
            return lambda: np.frombuffer(receive_bytes(), dtype="<u8")

        def receive() -> int:
            return int.from_bytes(receive_bytes(), "little")

        return receive

    def close(self) -> None:
        """Close all sockets of this process; nobody waits for what is still in them."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._sockets.clear()
        if self.context is not None:
            self.context.term()

    def _socket(self, kind: int, limit: int) -> Any:
        socket = self.context.socket(kind)
        socket.set(limit, max(1, self.shape.capacity // self.shape.batch // 2))
        self._sockets.append(socket)
        return socket
