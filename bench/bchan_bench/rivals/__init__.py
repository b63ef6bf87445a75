"""The contenders of `bchan bench compare`: ways to carry integers, each behind one class.

To add one, subclass `Rival` where it belongs and list it in `CONTENDERS`.
"""

from bchan_bench.rivals import loops, ours, processes, threads
from bchan_bench.rivals.rival import Place, Rival

__all__ = ["CONTENDERS", "Place", "Rival"]

CONTENDERS: tuple[type[Rival], ...] = (
    ours.Typed,
    ours.Objects,
    ours.Drop,
    ours.LoopDrop,
    ours.SharedTyped,
    ours.SharedObjects,
    threads.StandardQueue,
    threads.SimpleQueue,
    threads.Deque,
    threads.LockedRingQueue,
    threads.Inproc,
    loops.Culsans,
    loops.Janus,
    loops.StandardLoopQueue,
    loops.CalledSoon,
    processes.ProcessQueue,
    processes.ProcessSimpleQueue,
    processes.ProcessPipe,
    processes.FasterFifo,
    processes.Ipc,
)
