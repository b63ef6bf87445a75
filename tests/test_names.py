"""Names of channels: what is found, what is refused, and that no living channel loses its name."""

import ctypes
import errno
import fcntl
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest

from bchan import Channel, _names, _registry
from tests.support import DEADLINE, Task, leaving_nothing, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="names are for Linux"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
]
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

needs_root = pytest.mark.skipif(
    sys.platform == "linux" and os.geteuid() != 0, reason="only root may"
)


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid4().hex[:12]}"
    yield name
    gc.collect()
    for entry in _names._entries():
        if entry.name.startswith(name):
            _names.remove(entry.name)


def file_of(name: str) -> Path:
    return _names.DIRECTORY / f"bchan-{os.geteuid()}-{name}"


class Program:
    """A process that runs a program and says when it is there."""

    def __init__(self, code: str, *before: str) -> None:
        script = "import bchan, gc, os, sys, time\n" + dedent(code)
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self) -> str:
        """The next line of its output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip()

    def tell(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self, how: int = signal.SIGKILL) -> None:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        if self._process.stdout.closed:
            return
        self._process.send_signal(how)
        self._process.stdout.read()  # to its end, which is that of all that came of it
        self._process.wait(DEADLINE)
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()


@contextmanager
def running(code: str, *before: str) -> Iterator[Program]:
    program = Program(code, *before)
    try:
        yield program
    finally:
        program.end()


HOLD = """
ch = bchan.Channel('u8', name={name!r})
ch.send(7)
print('there', flush=True)
sys.stdin.readline()
"""


@contextmanager
def made_elsewhere(name: str) -> Iterator[Program]:
    """A process that made the channel of a name, with a message 7, and lives."""
    with running(HOLD.format(name=name)) as maker:
        assert maker.says() == "there"
        yield maker


def in_child(work: Callable[[], object]) -> str:
    """What comes of a call in the child of a fork, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                told = repr(work())
            except BaseException as error:
                told = f"{type(error).__name__} {getattr(error, 'errno', None)} {error}"
            os.write(write, told.encode()[:4000])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(pid, 0)
    return told


# What could not be looked at is not dead.


def _with_descriptors_left(n: int, call: Callable[[], object]) -> object:
    import resource

    kept = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    with suppress(OSError):
        while True:
            kept.append(os.dup(0))
    for _ in range(n):
        os.close(kept.pop())
    return call()


CALLS: dict[str, Callable[[str], object]] = {
    "names": lambda _: _names.names(),
    "sweep": lambda _: _names.sweep(),
    "find": _names.find,
    "attach": Channel.attach,
    "make": lambda name: Channel("u8", name=name),
    "claim": lambda name: _names.claim(name, 0),
    "holders": _names.holders,
    "remove": lambda name: _names.remove(name, force=False),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_process_without_descriptors_takes_no_living_channel_for_dead(
    name: str, call: str
) -> None:
    with made_elsewhere(name) as maker, made_elsewhere(name + "-2"):
        for left in range(8):
            told = in_child(partial(_with_descriptors_left, left, partial(CALLS[call], name)))
            if "Error" in told:
                assert f"OSError {errno.EMFILE} " in told or "FileExistsError" in told
                assert name in told or call in ("names", "sweep", "make"), "what it is about"
            assert file_of(name).exists()
            assert file_of(name + "-2").exists()
        assert f"OSError {errno.EMFILE} " in in_child(
            partial(_with_descriptors_left, 0, partial(CALLS[call], name))
        ), "the error says what is missing"
        assert Channel.attach(name).receive() == 7
        assert [holder.pid for holder in _names.holders(name).alive] == [maker.pid]


@pytest.mark.parametrize("dtype", ["u8", bytes, object])
def test_a_channel_that_finds_no_descriptor_says_so(dtype: Any) -> None:
    make = partial(Channel, dtype, shared=True)
    told = in_child(partial(_with_descriptors_left, 0, make))
    assert told.startswith(f"OSError {errno.EMFILE} ")
    assert os.strerror(errno.EMFILE) in told


DROP = """
import ctypes, encodings.ascii
os.setgid(12345), os.setuid(12345)
if {dumpable}:
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""


def _as_user(call: Callable[[], object]) -> object:
    os.setgid(12345)
    os.setuid(12345)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    return call()


@needs_root
def test_a_maker_that_dropped_its_privileges_keeps_its_name(name: str) -> None:
    file = Path(f"/dev/shm/bchan-12345-{name}")  # noqa: S108
    with running(DROP.format(dumpable=False) + HOLD.format(name=name)) as maker:
        assert maker.says() == "there"
        told = in_child(partial(_as_user, partial(Channel.attach, name)))
        assert told.startswith(f"PermissionError {errno.EACCES}")
        assert f"process {maker.pid}" in told
        assert "PR_SET_DUMPABLE" in told
        told = in_child(partial(_as_user, partial(Channel, "u8", name=name)))
        assert told.startswith("FileExistsError")
        assert f"{maker.pid} (can't tell)" in told
        assert repr(name) in in_child(partial(_as_user, _names.names))
        assert file.exists()
    assert in_child(partial(_as_user, _names.names)) == "[]"
    assert not file.exists()


@needs_root
def test_a_maker_that_dropped_its_privileges_and_lets_others_look_is_found(name: str) -> None:
    file = Path(f"/dev/shm/bchan-12345-{name}")  # noqa: S108
    with running(DROP.format(dumpable=True) + HOLD.format(name=name)) as maker:
        assert maker.says() == "there"
        receive = partial(_as_user, lambda: Channel.attach(name).receive())
        assert in_child(receive) == "7"
    assert in_child(partial(_as_user, partial(Channel.attach, name))).startswith("FileNotFound")
    assert not file.exists()


NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture(scope="module")
def namespaces() -> None:
    try:
        done = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode:
        pytest.skip(f"no pid namespace to be had: {done.stderr!r}")


@pytest.mark.usefixtures("namespaces")
def test_another_pid_namespace_leaves_the_names_of_this_one_alone(name: str) -> None:
    ch = Channel("u8", name=name)
    program = f"""
    print({name!r} in bchan._names.names())
    for call in (bchan.Channel.attach, lambda name: bchan.Channel('u8', name=name),
                 lambda name: bchan._names.remove(name, force=False)):
        try:
            print(call({name!r}))
        except OSError as error:
            print(type(error).__name__, error)
    bchan.Channel('u8', name={name + "-theirs"!r})
    print('done', flush=True)
    """
    with running(program, *NAMESPACE) as elsewhere:
        assert elsewhere.says() == "True"
        told = elsewhere.says()
        assert told.startswith("PermissionError")
        assert "another pid namespace" in told
        for _ in range(2):
            told = elsewhere.says()
            assert told.startswith("FileExistsError")
            assert "another pid namespace" in told
        assert elsewhere.says() == "done"
    ch.send(1)
    assert Channel.attach(name).receive() == 1


@pytest.mark.usefixtures("namespaces")
def test_the_names_of_another_pid_namespace_are_neither_swept_nor_taken(name: str) -> None:
    with running(HOLD.format(name=name), *NAMESPACE) as elsewhere:
        assert elsewhere.says() == "there"
        assert name in _names.names()
        with pytest.raises(PermissionError, match="another pid namespace"):
            Channel.attach(name)
        with pytest.raises(FileExistsError, match="another pid namespace"):
            Channel("u8", name=name)
    assert file_of(name).exists(), "whether they live can't be told from here"
    _names.remove(name, force=True)
    Channel("u8", name=name)


# One that has the channel no more is passed over.


GIVE_UP = {
    "closed its descriptor": "os.close(ch._fd)",
    "has another file there": "os.dup2(0, ch._fd)",
    "has another channel there": "o = bchan.Channel('u8', shared=True); os.dup2(o._fd, ch._fd)",
    "has become another program": "os.execv('/bin/sh', ['sh', '-c', 'echo there; read x'])",
}


@pytest.mark.parametrize("way", GIVE_UP)
def test_a_holder_that_gave_its_descriptor_up_is_passed_over(name: str, way: str) -> None:
    program = f"""
    ch = bchan.Channel('u8', name={name!r})
    print('made', flush=True)
    sys.stdin.readline()
    {GIVE_UP[way]}
    print('there', flush=True)
    sys.stdin.readline()
    """
    with running(program) as first:
        assert first.says() == "made"
        second = Channel.attach(name)
        first.tell()
        assert first.says() == "there"
        second.send(1)
        assert Channel.attach(name).receive() == 1
        assert {holder.pid for holder in _names.holders(name).alive} == {os.getpid()}
        del second
        gc.collect()
        assert not file_of(name).exists()


@pytest.mark.parametrize("way", GIVE_UP)
def test_the_name_of_one_that_gave_its_descriptor_up_is_free(name: str, way: str) -> None:
    with running(f"""
    ch = bchan.Channel('u8', name={name!r})
    print('made', flush=True)
    {GIVE_UP[way]}
    print('there', flush=True)
    sys.stdin.readline()
    """) as first:
        assert (first.says(), first.says()) == ("made", "there")
        with pytest.raises(FileNotFoundError, match="gone"):
            Channel.attach(name)
        Channel("u8", name=name)


def test_a_holder_whose_first_thread_has_ended_is_found(name: str) -> None:
    with running(f"""
    import ctypes, threading
    ch = bchan.Channel('u8', name={name!r})
    ch.send(7)
    first = threading.get_native_id()
    def hold():
        state = ''
        while state != 'Z':
            with open(f'/proc/self/task/{{first}}/stat') as stat:
                state = stat.read().rpartition(')')[2].split()[0]
        print('there', flush=True)
        sys.stdin.readline()
    threading.Thread(target=hold).start()
    ctypes.CDLL(None).pthread_exit(None)
    """) as maker:
        assert maker.says() == "there"
        with pytest.raises(FileExistsError, match=str(maker.pid)):
            Channel("u8", name=name)
        assert Channel.attach(name).receive() == 7


def test_who_is_killed_while_others_look_loses_nobody_the_name(name: str) -> None:
    with made_elsewhere(name) as maker:
        ch = Channel.attach(name)
        maker.end()
        for _ in range(3):
            assert name in _names.names()
        assert ch.receive() == 7


# An old channel never gets the name of the new one.


def test_a_child_of_an_old_holder_does_not_take_the_new_ones_name(name: str) -> None:
    old = Channel("u8", name=name)
    _names.remove(name)
    with made_elsewhere(name) as maker:
        assert in_child(lambda: None) == "None"
        child = os.fork()
        if child == 0:
            signal.pause()
        try:
            assert [holder.pid for holder in _names.holders(name).alive] == [maker.pid]
            assert Channel.attach(name).receive() == 7
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        del old
        gc.collect()
        assert [holder.pid for holder in _names.holders(name).alive] == [maker.pid]


def test_an_old_pickle_never_becomes_the_new_channel(name: str) -> None:
    old = Channel("u8", mode="spsc", name=name)
    pickled = [pickle.dumps(thing) for thing in (old, old.producer())]
    assert pickle.loads(pickled[0]).name == name
    gc.collect()
    _names.remove(name)
    for data in pickled:
        with pytest.raises(FileNotFoundError, match="no channel named"):
            pickle.loads(data)
    with made_elsewhere(name):
        for data in pickled:
            with pytest.raises(FileNotFoundError, match="lost the name"):
                pickle.loads(data)


def test_an_old_holder_that_leaves_does_not_take_the_new_name_along(name: str) -> None:
    old = Channel("u8", name=name)
    _names.remove(name)
    new = Channel("u8", name=name)
    del old
    gc.collect()
    new.send(3)
    assert Channel.attach(name).receive() == 3


def test_a_name_is_not_taken_from_one_that_got_it_meanwhile(name: str) -> None:
    with made_elsewhere(name):
        pass
    ch = Channel("u8", name=name)
    with pytest.raises(FileExistsError, match=str(os.getpid())):
        _names.remove(name, force=False)
    assert Channel.attach(name).closed is False
    del ch


def test_a_file_under_another_name_is_not_that_channel(name: str) -> None:
    ch = Channel("u8", name=name)
    other = name + "-copy"
    file_of(other).touch(0o600)
    file_of(other).write_bytes(file_of(name).read_bytes())
    try:
        with pytest.raises(ValueError, match=f"has the name '{name}'"):
            Channel.attach(other)
    finally:
        file_of(other).unlink()
    del ch


# What bchan did not write stays as it is, and is in nobody's way.


def _regular(content: bytes) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.touch(0o600)
        path.write_bytes(content)

    return make


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _huge(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 1 << 40)


def _with_mode(path: Path) -> None:
    path.touch(0o600)
    path.chmod(0o644)


def _of_another_user(path: Path) -> None:
    path.touch(0o600)
    os.chown(path, 12345, 12345)


def _head(tail: bytes) -> bytes:
    namespace = Path("/proc/self/ns/pid").stat().st_ino if sys.platform == "linux" else 0
    return f"bchan name 1, pid namespace {namespace}, memory 1 2".ljust(127).encode() + b"\n" + tail


FOREIGN: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "directory": Path.mkdir,
    "symlink to nothing": lambda path: path.symlink_to("/nowhere"),
    "symlink to a file": lambda path: path.symlink_to("/dev/null"),
    "socket": _socket,
    "huge": _huge,
    "others may read it": _with_mode,
    "the version before": _regular(b"[[1, 2, 3]]\n"),
    "deep": _regular(b"[" * 100_000 + b"]" * 100_000),
    "huge numbers": _regular(b"[[" + b"9" * 10_000 + b", 1, 1]]"),
    "not UTF-8": _regular(b"\xff\xfe\x00"),
    "words": _regular(b"some other program's\n"),
    "an object": _regular(b"{}"),
    "only a head": _regular(_head(b"")),
    "half a head": _regular(_head(b"")[:60]),
    "half a record": _regular(_head(b"      1         1   ")),
    "a record of nonsense": _regular(_head(b"x" * 63 + b"\n")),
    "a process 0": _regular(_head(b"0 1 1".ljust(63) + b"\n")),
    "a process too large": _regular(_head(b"9999999 1 1".ljust(63) + b"\n")),
    "zeros": _regular(_head(b"\0" * 64)),
}
if sys.platform == "linux" and os.geteuid() == 0:
    FOREIGN["another user's"] = _of_another_user


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_bchan_did_not_write_is_left_alone(name: str, kind: str) -> None:
    foreign = name + "-foreign"
    path = file_of(foreign)
    FOREIGN[kind](path)
    try:
        before = path.lstat()
        ch = Channel("u8", name=name)
        assert name in _names.names()
        assert Channel.attach(name).closed is False
        with pytest.raises(OSError, match=foreign):
            Channel.attach(foreign)
        with pytest.raises(OSError, match=foreign):
            Channel("u8", name=foreign)
        with pytest.raises(OSError, match=foreign):
            _names.remove(foreign, force=False)
        del ch
        gc.collect()
        after = path.lstat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
            (before.st_ino, before.st_size, before.st_mtime_ns)
        )
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


def test_an_empty_file_of_a_process_that_was_killed_is_taken_over(name: str) -> None:
    file_of(name).touch(0o600)
    assert name not in _names.names()
    file_of(name).touch(0o600)
    with pytest.raises(FileNotFoundError):
        Channel.attach(name)
    file_of(name).touch(0o600)
    ch = Channel("u8", name=name)
    assert Channel.attach(name).name == ch.name


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_the_umask_does_not_matter(name: str, mask: int) -> None:
    before = os.umask(mask)
    try:
        ch = Channel("u8", name=name)
    finally:
        os.umask(before)
    assert file_of(name).stat().st_mode & 0o777 == 0o600
    assert Channel.attach(name).name == ch.name


def test_more_processes_than_a_page_holds(name: str) -> None:
    ch = Channel("u8", name=name)
    others = [Channel.attach(name) for _ in range(100)]
    assert len(_names.holders(name).alive) == 101
    size = file_of(name).stat().st_size
    del others[10:]
    gc.collect()
    assert len(_names.holders(name).alive) == 11
    others.extend(Channel.attach(name) for _ in range(90))
    assert file_of(name).stat().st_size == size, "free places are used again"
    del ch, others
    gc.collect()
    assert not file_of(name).exists()


def test_the_places_of_the_dead_are_used_again(name: str) -> None:
    ch = Channel("u8", name=name)
    for _ in range(3):
        with running(
            f"ch = bchan.Channel.attach({name!r}); print('there', flush=True)\nsys.stdin.readline()"
        ) as other:
            assert other.says() == "there"
            size = file_of(name).stat().st_size
    assert size == 128 + 2 * 64
    del ch


# A process that is stopped is in nobody's way.


LOCK = """
with bchan._registry.locked(bchan._names._entry({name!r})):
    print('there', flush=True)
    time.sleep(1000)
"""


def test_a_process_that_stopped_in_the_middle_holds_up_its_own_name_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_registry, "PATIENCE", 0.3)
    with (
        made_elsewhere(name),
        running("import bchan._registry\n" + LOCK.format(name=name)) as stuck,
    ):
        assert stuck.says() == "there"
        os.kill(stuck.pid, signal.SIGSTOP)
        # Others' names.
        ch = Channel("u8", name=name + "-2")
        ch.send(1)
        assert Channel.attach(name + "-2").receive() == 1
        # To look needs no lock.
        assert {name, name + "-2"} <= set(_names.names())
        assert len(_names.holders(name).alive) == 1
        found = _names.find(name)
        os.close(found.fd)
        for change in (
            partial(Channel.attach, name),
            partial(Channel, "u8", name=name),
            partial(_names.remove, name),
        ):
            with pytest.raises(TimeoutError, match=f"{name}.*may be stopped"):
                change()
        stuck.end()
        assert Channel.attach(name).receive() == 7
        del ch
        gc.collect()


def test_dropping_a_channel_whose_name_is_held_up_does_not_hang(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_names, "PATIENCE_OF_LEAVING", 0.05)
    ch = Channel("u8", name=name)
    with running("import bchan._registry\n" + LOCK.format(name=name)) as stuck:
        assert stuck.says() == "there"
        os.kill(stuck.pid, signal.SIGSTOP)
        del ch
        gc.collect()
        with pytest.raises(FileNotFoundError, match="gone"):
            Channel.attach(name)
    assert name not in _names.names()
    assert not file_of(name).exists()


def test_a_child_does_not_keep_the_lock_of_a_thread_that_its_parent_had(name: str) -> None:
    with (
        made_elsewhere(name),
        running(f"""
    import bchan._registry, signal, threading
    inside = threading.Event()
    def stay():
        with bchan._registry.locked(bchan._names._entry({name!r})):
            inside.set()
            time.sleep(1000)
    threading.Thread(target=stay, daemon=True).start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        signal.alarm({DEADLINE:.0f})
        print(os.getpid(), flush=True)
        signal.pause()
    os.waitpid(pid, 0)
    """) as parent,
    ):
        child = int(parent.says())
        os.kill(parent.pid, signal.SIGKILL)
        try:
            assert Channel.attach(name).receive() == 7
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_finalizer_in_the_middle_of_a_call_on_the_same_name_waits_for_its_end(name: str) -> None:
    ch = Channel("u8", name=name)
    with _registry.locked(_names._entry(name)):
        del ch
        gc.collect()
        assert file_of(name).exists()
    assert not file_of(name).exists()


def test_a_lock_that_another_user_of_the_file_has_is_waited_for(name: str) -> None:
    ch = Channel("u8", name=name)
    with file_of(name).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        attaching = Task(partial(Channel.attach, name))
        until(lambda: bool(_registry._inside))
        fcntl.flock(file, fcntl.LOCK_UN)
        assert attaching.result().name == ch.name


# Something is missing.


def elsewhere(prepare: str, code: str) -> str:
    """What a program prints in a mount namespace of its own."""
    script = f"{prepare}\nexec {sys.executable} -c '{dedent(code)}'"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mounts() -> None:
    try:
        command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/dev/shm"]  # noqa: S108
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode:
        pytest.skip(f"no mount to be had: {done.stderr!r}")


NAMING = """
import os
import bchan
for attempt in range(70):
    try:
        ch = [bchan.Channel("u8", name=f"missing-{attempt}-{n}") for n in range(70)]
    except OSError as error:
        print(type(error).__name__, error.errno, error)
        break
directory = "/dev/shm"
del ch
print(os.path.isdir(directory) and os.listdir(directory))
ch = bchan.Channel("u8", shared=True)
ch.send(7)
print(ch.receive())
"""


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        ("mount -t tmpfs -o size=4k none /dev/shm", f"OSError {errno.ENOSPC} [Errno"),
        ("mount -t tmpfs -o nr_inodes=1 none /dev/shm", f"OSError {errno.ENOSPC} [Errno"),
        ("mount -t tmpfs -o ro none /dev/shm", f"OSError {errno.EROFS} [Errno"),
    ],
    ids=["full", "no inode", "read-only"],
)
def test_a_name_that_can_not_be_written_says_why_and_leaves_nothing(
    prepare: str, error: str
) -> None:
    prepare = f"mount -t tmpfs none /dev/shm\n{prepare}"
    naming = NAMING.replace("del ch\n", "ch = None\n")
    told, left, sent = elsewhere(prepare, naming).splitlines()
    assert told.startswith(error)
    assert "/dev/shm" in told  # noqa: S108
    assert (left, sent) == ("[]", "7")


NO_PROC = """
import os
import bchan
for make in (lambda: bchan.Channel("u8", name="missing"), lambda: bchan.Channel("u8", shared=True)):
    try:
        make()
    except OSError as error:
        print(error)
print(os.listdir("/dev/shm"))
"""


@pytest.mark.usefixtures("mounts")
def test_without_proc_a_channel_says_so_and_leaves_nothing() -> None:
    prepare = "mount -t tmpfs none /dev/shm\nmount -t tmpfs none /proc"
    *told, left = elsewhere(prepare, NO_PROC).splitlines()
    assert len(told) == 2
    assert all("need /proc" in line for line in told)
    assert left == "[]"


HIDDEN = """
import os, signal, sys
import encodings.ascii
import bchan
def as_user():
    os.setgid(12345), os.setuid(12345)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    as_user()
    ch = bchan.Channel("u8", name="hidden")
    os.write(write, b"there")
    signal.pause()
assert os.read(read, 5) == b"there"
os.setegid(12345), os.seteuid(12345)
for call in (bchan.Channel.attach, lambda name: bchan.Channel("u8", name=name)):
    try:
        print(call("hidden"))
    except OSError as error:
        print(type(error).__name__, error)
print(bchan._names.names())
os.seteuid(0), os.setegid(0)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
os.setegid(12345), os.seteuid(12345)
print(bchan._names.names(), os.listdir("/dev/shm"))
"""


@needs_root
@pytest.mark.usefixtures("mounts")
def test_a_process_that_is_hidden_in_proc_is_not_taken_for_dead() -> None:
    prepare = "mount -t tmpfs none /dev/shm\nmount -t proc -o hidepid=2 proc /proc"
    attach, make, names, after = elsewhere(prepare, HIDDEN).splitlines()
    assert attach.startswith("PermissionError")
    assert "hidden" in attach
    assert make.startswith("FileExistsError")
    assert names == "['hidden']"
    assert after == "[] []"


def test_without_its_directory_a_name_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_names, "DIRECTORY", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"needs .*none, and it is not there"):
        Channel("u8", name=name)
    with pytest.raises(FileNotFoundError, match=f"no channel named '{name}'"):
        Channel.attach(name)
    assert _names.names() == []
    Channel("u8", shared=True).send(1)


@needs_root
def test_a_directory_for_others_alone_is_told(name: str) -> None:
    with running(
        "os.umask(0o077); os.mkdir(f'/tmp/{os.getpid()}'); print('there', flush=True)\n"
        "sys.stdin.readline(); os.rmdir(f'/tmp/{os.getpid()}')"
    ) as other:
        assert other.says() == "there"
        directory = Path(f"/tmp/{other.pid}")  # noqa: S108

        def claim() -> object:
            _names.DIRECTORY = directory
            return _as_user(partial(Channel, "u8", name=name))

        told = in_child(claim)
        assert told.startswith(f"PermissionError {errno.EACCES}")
        assert str(directory) in told
        other.tell()
        until(lambda: not directory.exists())
