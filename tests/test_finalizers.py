"""Python code that runs in the middle of a call meets a handle that is busy, or one at rest.

`BCHAN_SEED=… pytest tests/test_finalizers.py` blows a storm again.
"""

import gc
import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import bchan
from tests.finalizers import Finalized, leaving_all_else_out, weather
from tests.payloads import PAYLOADS, Payload

SEED = int(os.environ.get("BCHAN_SEED", random.randrange(1 << 32)))
MODES = ["spsc", "mpsc", "spmc", "mpmc"]

_quick = pytest.fixture(scope="module", autouse=True)(leaving_all_else_out)


class Armed:
    """Garbage whose finalizer makes a call, and keeps what it raised or gave."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act, self.outcomes = act, list[Any]()

    def intrude(self) -> None:
        try:
            self.outcomes.append(self.act())
        except BaseException as error:
            self.outcomes.append(error)

    def during(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call at whose first allocation, until CPython 3.12, the garbage is found.

        None if it was found before the call, which was refused then. Later Pythons find it after
        the call; without the GIL they are asked to.
        """
        gc.collect()
        gc.disable()
        threshold = gc.get_threshold()
        Finalized(self)
        gc.set_threshold(1)
        gc.enable()
        try:
            given = call(*arguments)
            gc.collect()
            return given
        except (RuntimeError, bchan.Closed):
            assert not isinstance(self.outcomes[0], Exception)
            return None
        finally:
            gc.set_threshold(*threshold)


@pytest.mark.parametrize("shared", [False, True], ids=["heap", "shared"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", ["peek", "try_peek"])
def test_a_finalizer_inside_of_peek_can_neither_take_nor_release_what_is_shown(
    call: str, mode: Any, shared: bool
) -> None:
    for intrusion in ("receive", "try_receive", "peek", "release", "close"):
        ch = bchan.Channel(bytes, capacity=64, mode=mode, shared=shared)
        tx, rx = ch.producer(), ch.consumer()
        for n in range(3):
            tx.send(b"%d" % n)
        armed = Armed(getattr(rx, intrusion))
        shown = armed.during(getattr(rx, call))
        (outcome,) = armed.outcomes
        assert isinstance(outcome, RuntimeError) or not isinstance(outcome, Exception)
        if intrusion == "close" and outcome is None:
            continue  # before or after the call
        seen = (outcome, shown)
        received = [bytes(it) for it in seen if isinstance(it, bytes | memoryview)]
        is_released = intrusion == "release" and outcome is None
        if memoryview in (type(outcome), type(shown)) and not is_released:
            rx.release()
        while (message := rx.try_receive()) is not None:
            received.append(message)
        assert received == [b"0", b"1", b"2"]


@pytest.mark.parametrize("shared", [False, True], ids=["heap", "shared"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", ["reserve", "try_reserve"])
def test_a_finalizer_inside_of_reserve_can_neither_send_nor_end_the_reservation(
    call: str, mode: Any, shared: bool
) -> None:
    intrusions: dict[str, tuple[Any, ...]] = {
        "send": (b"inner",),
        "try_send": (b"inner",),
        "send_batch": ([b"inner"],),
        "reserve": (5,),
        "abort": (),
        "commit": (),
        "close": (),
    }
    for intrusion, arguments in intrusions.items():
        ch = bchan.Channel(bytes, capacity=64, mode=mode, shared=shared)
        tx, rx = ch.producer(), ch.consumer()
        armed = Armed(partial(getattr(tx, intrusion), *arguments))
        room = armed.during(getattr(tx, call), 100)
        (outcome,) = armed.outcomes
        assert isinstance(outcome, RuntimeError) or not isinstance(outcome, Exception)
        if intrusion in ("abort", "commit", "close") and outcome is None:
            continue  # before or after the call
        expected = []
        if "send" in intrusion and not isinstance(outcome, Exception):
            expected.append(b"inner")
        if room is not None:
            room[:] = b"o" * 100
            tx.commit()
            expected.append(b"o" * 100)
        received = []
        while (message := rx.try_receive(default=None)) is not None:
            received.append(message)
            assert len(received) < 3
        assert received == expected


def storms() -> list[Any]:
    """Every payload, mode and place that there is."""
    return [
        pytest.param(payload, mode, place == "shared", id=f"{payload.name}-{mode}-{place}")
        for payload in PAYLOADS
        for mode in MODES
        for place in ("heap", "shared")
        if payload.goes(place == "shared")
    ]


@pytest.mark.parametrize(("payload", "mode", "shared"), storms())
def test_whatever_runs_inside_of_calls_each_message_comes_once_and_in_order(
    payload: Payload, mode: str, shared: bool
) -> None:
    assert weather(payload, mode, shared, SEED, 20) >= 40
