"""The package as such: what it exports, what it says of itself, its types."""

import importlib.metadata
import subprocess
import sys

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
