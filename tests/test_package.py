"""The package as such: what it exports, what it says of itself, its types."""

import importlib.metadata
import inspect
import subprocess
import sys
import types
from typing import Any

import pytest

import bchan


def test_everything_exported_exists_and_has_a_docstring() -> None:
    for name in bchan.__all__:
        exported = getattr(bchan, name)
        assert name == "__version__" or exported.__doc__


def test_every_public_method_has_a_docstring_with_an_example() -> None:
    for cls in (bchan.Channel, bchan.Producer, bchan.Consumer):
        assert ">>>" in (cls.__doc__ or "")
        for name in dir(cls):
            method = getattr(cls, name)
            if not name.startswith("_") and callable(method) and name != "close":
                assert ">>>" in (method.__doc__ or ""), f"{cls.__name__}.{name}"


@pytest.mark.parametrize(
    ("class_", "calls"),
    [
        *((bchan.Producer, 9), (bchan.Consumer, 10), (bchan.Channel, 12)),
        *((bchan.BytesProducer, 9), (bchan.BytesConsumer, 10), (bchan.BytesChannel, 12)),
        *((bchan.PickledProducer, 5), (bchan.PickledConsumer, 5), (bchan.PickledChannel, 12)),
        *((bchan.Queue, 4), (bchan.SimpleQueue, 4)),
    ],
)
def test_a_hot_call_is_native_and_says_what_python_declares(class_: Any, calls: int) -> None:
    declared = {
        name: function
        for base in reversed(class_.__mro__)
        if base.__module__.startswith("bchan._calls.")
        for name, function in vars(base).items()
        if inspect.isfunction(function)
    }
    assert len(declared) == calls
    for name, function in declared.items():
        # No wrapper: a descriptor of this very class is what CPython calls fastest.
        native = getattr(class_, name)
        assert type(native) is types.MethodDescriptorType, name
        signature = inspect.signature(function)
        bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
        # What is written in C takes `self` by position alone.
        assert list(inspect.signature(native).parameters.values())[1:] == bare[1:]
        assert (native.__name__, native.__doc__) == (name, inspect.getdoc(function))
        # Only what a channel of pickled objects has not is its base's.
        assert native.__objclass__ is class_ or name.endswith("_into")


def test_what_a_class_does_not_declare_cannot_be_installed() -> None:
    class Undeclared(bchan._core.Producer):
        pass

    with pytest.raises(AttributeError, match="send"):
        bchan._core.hot_methods(Undeclared, "items", lambda name: str(getattr(Undeclared, name)))


def test_the_build_tells_what_it_is() -> None:
    info = bchan.build_info()
    assert info.version == bchan.__version__ == importlib.metadata.version("bchan")
    assert info.profile in ("release", "debug")
    assert "linux" in info.target or info.target
    assert info.free_threaded is not getattr(sys, "_is_gil_enabled", lambda: True)()


def test_a_debug_build_warns_when_imported() -> None:
    code = (
        "import bchan._core as core; build = core._build()\n"
        "core._build = lambda: (build[0], 'debug', *build[2:])\n"
        "import importlib, bchan._build; importlib.reload(bchan._build)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert "RuntimeWarning: this is a debug build of bchan" in ended.stderr


def test_the_native_module_may_be_imported_twice() -> None:
    code = (
        "import asyncio, sys, bchan\n"
        "del sys.modules['bchan._core']; import bchan._core\n"
        "async def main():\n"
        "    ch = bchan.Channel()\n"
        "    asyncio.get_running_loop().call_soon(ch.send, 5)\n"
        "    return await ch.areceive()\n"
        "print(asyncio.run(main()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "5\n"


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ModuleNotFoundError"])
def test_what_ends_the_import_of_numpy_ends_the_import_of_bchan(error: str) -> None:
    program = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "numpy":
            raise {error}("no numpy")
sys.meta_path.insert(0, Finder())
try:
    import bchan
except {error} as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "no numpy\n", done.stderr


def test_errors_are_of_one_family() -> None:
    assert issubclass(bchan.Closed, bchan.ChannelError)
    assert issubclass(bchan.EndOfChannel, bchan.ChannelError)
    assert bchan.Closed.__module__ == "bchan"


def test_representations_say_what_is_inside() -> None:
    ch = bchan.Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)
    assert repr(ch) == "<bchan.Channel of uint32, spsc, 1/8, 1 of 1 producers>"
    assert (repr(tx), repr(rx)) == ("<bchan.Producer open>", "<bchan.Consumer open>")
    tx.close()
    ch.close()
    assert repr(tx) == "<bchan.Producer closed>"
    assert repr(ch).endswith(", closed>")
    assert ch
    assert (ch.mode, ch.dtype.str, ch.max_producers) == ("spsc", "<u4", 1)
