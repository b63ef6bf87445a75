"""Drop-ins for the classes of the standard library's `queue`.

Each keeps the methods, the errors and the order of its model, and has `shutdown` on every Python.

Example:
    >>> from bchan import queues
    >>> q = queues.PriorityQueue(maxsize=2)
    >>> q.put((2, "sweep"))
    >>> q.put((1, "cook"))
    >>> try:
    ...     q.put((0, "eat"), block=False)
    ... except queues.Full:
    ...     print("full")
    full
    >>> q.shutdown()
    >>> q.get(), q.get()
    ((1, 'cook'), (2, 'sweep'))
    >>> try:
    ...     q.get()
    ... except queues.ShutDown:
    ...     print("shut down")
    shut down
"""

from bchan.queues.errors import Empty, Full, ShutDown
from bchan.queues.fifo import Queue, SimpleQueue
from bchan.queues.locked import LifoQueue, PriorityQueue

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue"]
