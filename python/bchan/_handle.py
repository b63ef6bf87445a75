"""What all handles have in common, of whatever messages."""

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Self, cast

from bchan import _core, _handover, _lines, _sharing
from bchan._leaving import Closing
from bchan._types import Messages

if TYPE_CHECKING:
    from bchan._channel import Channel


class _Native(Protocol):
    """What the native part of a handle does."""

    _channel: "Channel | None"

    @property
    def closed(self) -> bool: ...
    def _token(
        self, child: _core.Handover | None = None, is_lent: bool = False
    ) -> tuple[int, int]: ...
    def _adopt(self, now: bool) -> None: ...


class Handle(Closing):
    """A handle, which can be passed to another process as long as it was never used.

    Passed to a child process that is started, it is the child's: it counts as closed once the child
    is gone, used or not. Closed by its maker it is closed for all copies.

    The native class comes after it among the bases. The class of both has the slot `_channel`:
    only one of the bases may have any.
    """

    __slots__ = ()
    _channel: "Channel | None"
    _messages: ClassVar[Messages] = "items"

    def __new__(cls, channel: "Channel", token: tuple[int, int] | None = None) -> Self:
        """Register; see `Channel.producer` and `Channel.consumer`."""
        self = super().__new__(cls, channel, token, cls._messages)  # type: ignore[call-arg]
        if isinstance(self, _core.Consumer):
            self._join()
        # With it the handle is passed to another process.
        self._channel = channel if channel.shared else None  # type: ignore[misc]
        return self

    def __enter__(self) -> Self:
        # To a child it came by a fork: who enters it means to use it.
        cast("_Native", self)._adopt(True)
        return self

    def close(self) -> None:
        """Close this handle; what was sent stays. Closing twice is harmless.

        A call that waits with it raises `Closed`, in whatever thread or task.
        """
        super().close()  # type: ignore[misc]
        _lines.wake_all(self)

    def __reduce__(self: _Native) -> tuple[Any, ...]:
        return type(self), (_sharing.checked(self._channel), self._token(_handover.child()))

    def __copy__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} can't be copied: it has one place; make another one"
        )

    def __deepcopy__(self, memo: dict[int, object]) -> NoReturn:
        self.__copy__()

    def __repr__(self: _Native) -> str:
        return f"<bchan.{type(self).__name__} {'closed' if self.closed else 'open'}>"
