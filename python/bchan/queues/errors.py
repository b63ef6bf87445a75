"""What a queue raises."""

import sys
from queue import Empty, Full

__all__ = ["Empty", "Full", "ShutDown"]

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):  # noqa: N818 - the name that it has in queue
        """A queue was put into, or got from, after its `shutdown`: `queue.ShutDown` of 3.13."""
