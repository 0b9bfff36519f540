"""Fixtures: a real spawnd on a socket in a temporary folder, watched from start to end."""
import ctypes
import os
import pathlib
import selectors
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from plain_client import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SPAWND_BUILD", ROOT / "build"))
SPAWND = BUILD / "server" / "forkserver" / "spawnd"
BROKER = BUILD / "server" / "broker" / "spawnd-broker"
CHILDREN = BUILD / "server" / "tests"
PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG = 36, 1
libc = ctypes.CDLL(None, use_errno=True)
_live = set()  # pids of servers that are meant to run


def others_may_enter():
    """Whether another user reaches the checkout and the build: tests that switch users need it."""
    return all(folder.stat().st_mode & 0o001
               for place in (ROOT / "server" / "tests", SPAWND.parent)
               for folder in (place, *place.resolve().parents) if folder.exists())


needs_entry = pytest.mark.skipif(
    not others_may_enter(), reason="the checkout or the build lies where other users may not enter")


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: long; run apart from the others")
    # Whatever escapes from a server becomes our child, and is seen.
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def pytest_collection_modifyitems(items):
    if SPAWND.exists():
        return
    for item in items:
        if item.path.name not in ("test_spec.py", "test_endpoint.py", "test_endpoint_hostile.py"):
            item.add_marker(pytest.mark.skip(reason=f"no server: {SPAWND} is not built"))


def wait_for(condition, what, timeout=20):
    """Polls until condition() is true; its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"still not so after {timeout} s: {what}"
        time.sleep(0.005)


def processes():
    """{pid: (parent, state, command)} of this machine."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except OSError:
                continue
            name, rest = text[text.index("(") + 1:].rsplit(")", 1)
            state, parent = rest.split()[:2]
            found[int(entry)] = int(parent), state, name
    return found


def descendants(pid, zombies=True):
    """{pid: command} of everything below pid."""
    table, found, level = processes(), {}, {pid}
    while level:
        level = {p for p, (parent, state, _) in table.items()
                 if parent in level and p not in found and (zombies or state != "Z")}
        found.update((p, table[p][2]) for p in level)
    return found


def strays(zombies=True):
    """What descends from this test run and belongs to no server that is meant to run."""
    found = descendants(os.getpid(), zombies)
    for pid in _live:
        found.pop(pid, None)
        for below in descendants(pid):
            found.pop(below, None)
    return found


class Server:
    """One running spawnd."""

    def __init__(self, *arguments, environment=None, listen=None, stderr=None, user=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spawnd-test-"))
        self.url = listen or f"ipc://{self.folder}/run/s"
        os.mkdir(self.folder / "run", 0o700)
        other = {}
        if user is not None:
            os.chown(self.folder, user, user)
            os.chown(self.folder / "run", user, user)
            other = dict(user=user, group=user, extra_groups=[])
        self.errors = open(stderr or self.folder / "stderr", "wb")
        self.process = subprocess.Popen(
            [SPAWND, "--listen", self.url, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.errors, env={**os.environ, **(environment or {})},
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0), **other)
        self.pid = self.process.pid
        _live.add(self.pid)

    def wait_ready(self, timeout=20):
        """Waits for the line on stdout that says that clients may come."""
        selector, line = selectors.DefaultSelector(), b""
        selector.register(self.process.stdout, selectors.EVENT_READ)
        end = time.monotonic() + timeout
        while not line.endswith(b"\n"):
            assert selector.select(end - time.monotonic()), f"not ready: {self.log()}"
            more = os.read(self.process.stdout.fileno(), 4096)
            assert more, f"ended before it was ready: {self.log()}"
            line += more
        assert line.startswith(b"spawnd ready ") and self.url.encode() in line, line
        client = Client(self.url)
        info = client.info()
        client.close_session()
        client.close_connection()
        self.root, self.broker, self.guard = info.root_pid, info.broker_pid, info.guard_pid
        self.epoch = info.epoch
        return self

    def log(self):
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def descriptors(self):
        """Open descriptors of root and broker."""
        return tuple(len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.root, self.broker))

    def check_descriptors(self, before, timeout=5):
        """Waits until no more are open than before. Fewer is no fault: some may have been closing."""
        wait_for(lambda: all(now <= then for now, then in zip(self.descriptors(), before)),
                 f"descriptors are as before: {before}, now {self.descriptors()}", timeout)

    def rss_kib(self):
        return tuple(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4
                     for pid in (self.root, self.broker))

    def wait(self, timeout=20):
        """Waits for its end; the exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            below = descendants(self.pid)
            pytest.fail(f"the server did not end; below it {below}; its log:\n{self.log()}")
        finally:
            _live.discard(self.pid)
            self.process.stdout.close()

    def end(self, timeout=20):
        """Ends it by TERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def check_nothing_left(self):
        wait_for(lambda: not strays(), f"no process is left; left: {strays()}", timeout=2)
        assert os.listdir(self.folder / "run") == [], "a file is left beside the socket"

    def discard(self):
        """After a test that failed: takes away what is left, whatever it is."""
        _live.discard(self.pid)
        for pid in [self.pid, *descendants(self.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for pid in strays():
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except OSError:
                pass
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def run_server(*arguments, **options):
    """A server for one fixture: started, given out, ended, checked."""
    server = Server(*arguments, **options)
    try:
        yield server.wait_ready()
        if server.pid in _live:  # else the test has ended it itself
            assert server.end() == 0, server.log()
        server.check_nothing_left()
        assert "Sanitizer" not in server.log(), server.log()
    finally:
        server.discard()


class Shared:
    """One server after another: a new one where a test has ended the last."""

    def __init__(self):
        self.running = self.server = None

    def get(self):
        if self.server is None or self.server.process.poll() is not None:
            self.end()
            self.running = run_server()
            self.server = next(self.running)
        return self.server

    def end(self):
        if self.running is None:
            return
        running, self.running = self.running, None
        if self.server.process.poll() is None:
            next(running, None)  # its orderly end, with all that is checked then
        running.close()


@pytest.fixture(scope="module")
def shared():
    made = Shared()
    yield made
    made.end()


@pytest.fixture
def server(shared):
    """The module's server; after the test it must hold no process and live as before."""
    shared_server = shared.get()
    before = shared_server.guard, shared_server.root, shared_server.broker
    yield shared_server
    assert shared_server.process.poll() is None, shared_server.log()
    try:
        watcher = Client(shared_server.url)
    except OSError as error:
        pytest.fail(f"the server does not serve: {error}; its log:\n{shared_server.log()}")
    wait_for(lambda: watcher.info().counters.processes == 0, "no process is left", timeout=15)
    info = watcher.info()
    watcher.close_session()
    watcher.close_connection()
    assert (info.guard_pid, info.root_pid, info.broker_pid) == before


@pytest.fixture
def fresh_server():
    """A server for this test alone; the test may end it itself."""
    yield from run_server()


@pytest.fixture
def client(server):
    """A session on the shared server, closed at the end: its processes are killed."""
    made = Client(server.url)
    yield made
    try:
        made.close_session()
    except Exception:  # the test may have ended it, or the connection
        pass
    made.close_connection()


@pytest.fixture
def clients(server):
    """Makes any number of sessions on the shared server."""
    made = []

    def make(**options):
        made.append(Client(server.url, **options))
        return made[-1]

    yield make
    for one in made:
        try:
            one.close_session()
        except Exception:
            pass
        one.close_connection()


@pytest.fixture
def true():
    return str(CHILDREN / "test-true")


@pytest.fixture
def child():
    return str(CHILDREN / "test-child")
