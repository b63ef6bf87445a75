"""Camera, workers and writer in processes of their own, and no frame is copied on its way.

    python examples/frame_pipeline.py

The camera writes each frame where the workers read it; a worker brightens it from there into the
place where the writer reads it. What goes through a channel is the frame itself, by `reserve` and
`peek`, in memory that the processes share.
"""

import multiprocessing as mp
import os
import sys
import time

import numpy as np
from numpy.typing import NDArray

import bchan

HEIGHT, WIDTH = 480, 640
FRAMES = 300
HEADER = 8  # bytes: the frame's number
SIZE = HEADER + HEIGHT * WIDTH
# Slots of 64 bytes: room for some frames.
CAPACITY = 16 * SIZE // 64

Image = NDArray[np.uint8]


def image(frame: memoryview) -> Image:
    """The pixels of a frame, where they are."""
    return np.frombuffer(frame, dtype=np.uint8, offset=HEADER).reshape(HEIGHT, WIDTH)


def expose(number: int, pixels: Image) -> None:
    """What the camera sees: a gradient that moves."""
    np.add(np.arange(WIDTH, dtype=np.uint16), number, out=pixels, casting="unsafe")


def camera(tx: bchan.BytesProducer) -> None:
    """Write frames in place."""
    with tx:
        for number in range(FRAMES):
            with tx.batch(SIZE) as frame:
                frame[:HEADER] = number.to_bytes(HEADER, "little")
                expose(number, image(frame))


def work(rx: bchan.BytesConsumer, tx: bchan.BytesProducer) -> None:
    """Brighten frames from the one ring into the other."""
    with rx, tx:
        while True:
            try:
                source = rx.peek()
            except bchan.EndOfChannel:
                return
            with tx.batch(SIZE) as target:
                target[:HEADER] = source[:HEADER]
                np.right_shift(image(source), 1, out=image(target))
                image(target)[:] += 100
            rx.release()


def write(rx: bchan.BytesConsumer) -> int:
    """Take the frames, in whatever order the workers were ready; tell how many were right."""
    seen: set[int] = set()
    expected = np.empty((HEIGHT, WIDTH), dtype=np.uint8)
    while True:
        try:
            frame = rx.peek()
        except bchan.EndOfChannel:
            return len(seen)
        number = int.from_bytes(frame[:HEADER], "little")
        expose(number, expected)
        if number in seen or not np.array_equal(image(frame), (expected >> 1) + 100):
            sys.exit(f"frame {number} is not what it should be")
        seen.add(number)
        rx.release()


def main() -> None:
    """Run it."""
    workers = max(os.cpu_count() or 1, 2)
    raw = bchan.Channel(bytes, CAPACITY, "spmc", shared=True)
    done = bchan.Channel(bytes, CAPACITY, "mpsc", max_producers=workers, shared=True)
    start = time.perf_counter()
    works = [
        mp.Process(target=work, args=(raw.consumer(), done.producer())) for _ in range(workers)
    ]
    processes = [mp.Process(target=camera, args=(raw.producer(),)), *works]
    for process in processes:
        process.start()
    written = write(done.consumer())
    for process in processes:
        process.join()
    if written != FRAMES:
        sys.exit(f"{written} of {FRAMES} frames arrived")
    seconds = time.perf_counter() - start
    rate = f"{written / seconds:.0f} a second"
    print(f"{written} frames of {WIDTH}x{HEIGHT} by {workers} workers: {rate}")


if __name__ == "__main__":
    main()
