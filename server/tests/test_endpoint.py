"""The endpoint alone, by plain sockets against endpoint-echo: order, limits, hostile peers, repair."""
import json
import os
import pathlib
import random
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SPAWND_BUILD", ROOT / "build"))
ECHO = BUILD / "server" / "tests" / "endpoint-echo"
LEAKS = pathlib.Path(__file__).resolve().parent / "lsan.supp"
HELLO = bytes.fromhex("0053500000300000")
HELLO_BACK = bytes.fromhex("0053500000310000")
GENEROUS_S = 20
pytestmark = pytest.mark.skipif(not ECHO.exists(), reason=f"{ECHO} is not built")


def frame(number, body):
    return struct.pack(">BQI", 1, len(body) + 4, 0x80000000 | number) + body


class Peer:
    """One connection; blocking."""

    def __init__(self, path, handshake=True, timeout=GENEROUS_S):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.number, self.buffer = 0, b""
        if handshake:
            self.socket.sendall(HELLO)
            assert self.read(8) == HELLO_BACK

    def read(self, size):
        while len(self.buffer) < size:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def send(self, body):
        self.number += 1
        self.socket.sendall(frame(self.number, body))
        return self.number

    def receive(self):
        kind, size, number = struct.unpack(">BQI", self.read(13))
        assert kind == 1 and number & 0x80000000
        return number & 0x7fffffff, self.read(size - 4)

    def ask(self, body):
        number = self.send(body)
        back, answer = self.receive()
        assert back == number
        return answer

    def count(self):
        return json.loads(self.ask(b"count"))

    def is_closed(self, timeout=GENEROUS_S):
        """Reads until the end comes; False: it does not."""
        self.socket.settimeout(timeout)
        try:
            while self.socket.recv(1 << 20):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Echo:
    def __init__(self, folder, *settings, descriptors=None, path=None):
        self.path = path or folder / "s"
        self.log_path = folder / "stderr"

        def prepare():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        with open(self.log_path, "ab") as errors:
            self.process = subprocess.Popen(
                [ECHO, f"ipc://{self.path}", *settings], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, preexec_fn=prepare, env={
                    **os.environ, "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0"})
        self.ready = self.process.stdout.readline() == b"ready\n"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(GENEROUS_S)
        self.process.stdout.close()
        return status

    def ticks(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(text[11]) + int(text[12])

    def rss_mib(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) / 256

    def memory_factor(self):
        """Sanitizers need more."""
        maps = pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()
        return 5 if "libasan" in maps or "libtsan" in maps else 1

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="spawnd-echo-") as name:
        yield pathlib.Path(name)


@pytest.fixture
def start(folder):
    """Starts an echo; each must end by itself, with nothing left at its path."""
    started = []

    def start_one(*settings, **options):
        started.append(Echo(folder, *settings, **options))
        assert started[-1].ready, started[-1].log()
        return started[-1]
    try:
        yield start_one
        for echo in started:
            if echo.process.returncode is None:
                assert echo.end() == 0, echo.log()
            assert "Sanitizer" not in echo.log(), echo.log()
        assert [n for n in os.listdir(folder) if n.startswith("s.") or n == "s"] == []
    finally:
        for echo in started:
            if echo.process.poll() is None:
                echo.process.kill()
                echo.process.wait()


def wait_for(condition, what, timeout=GENEROUS_S):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"still not so after {timeout} s: {what}"
        time.sleep(0.01)
    return value


def is_served(path, timeout, patience=GENEROUS_S):
    """Connects anew until an answer comes within the time, as clients do."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        try:
            with Peer(path, timeout=min(left, patience)) as peer:
                assert peer.ask(b"hello") == b"hello"
                return True
        except (OSError, EOFError):
            time.sleep(0.02)
    return False


# --- what it is for ---------------------------------------------------------------------------
def test_bytes_come_back(start):
    echo = start()
    with Peer(echo.path) as peer:
        for size in (0, 1, 3, 4, 1000, 65536, (1 << 20) - 4):
            body = random.Random(size).randbytes(size)
            assert peer.ask(b"x" + body[1:]) == b"x" + body[1:]
        assert peer.count()["connections"] == 1


def test_mode_of_the_socket(start, folder):
    echo = start()
    assert stat.S_IMODE(os.lstat(echo.path).st_mode) == 0o600
    assert stat.S_IMODE(os.lstat(f"{echo.path}.lock").st_mode) == 0o600
    assert int(pathlib.Path(f"{echo.path}.lock").read_text()) == echo.process.pid
    assert sorted(os.listdir(folder)) == ["s", "s.lock", "stderr"]


def test_ten_thousand_parked_are_answered_at_once(start):
    echo = start("max_requests=20000")
    with Peer(echo.path) as peer, Peer(echo.path) as other:
        for _ in range(100):
            peer.socket.sendall(b"".join(
                frame(peer.number + i, b"park") for i in range(1, 101)))
            peer.number += 100
        wait_for(lambda: other.count()["parked"] == 10000, "all are parked")
        began = time.monotonic()
        assert other.ask(b"hello") == b"hello"
        assert time.monotonic() - began < 1
        assert other.ask(b"free") == b"done"
        seen = set()
        for _ in range(10000):
            number, answer = peer.receive()
            assert answer == b"freed"
            seen.add(number)
        assert seen == set(range(1, 10001))
        wait_for(lambda: other.count()["held"] == 1, "only the question itself is held")
        count = other.count()
        assert count["unsent"] == 0 and count["answered"] >= 10000


def test_every_token_comes_back(start):
    echo = start()
    with Peer(echo.path) as peer:
        for _ in range(50):
            peer.ask(b"x")
        wait_for(lambda: (c := peer.count())["answered"] >= c["tokens"], "all tokens came back")


def test_a_closed_connection_takes_its_parked_requests_along(start):
    echo = start()
    with Peer(echo.path) as watcher:
        for _ in range(20):
            with Peer(echo.path) as peer:
                for _ in range(50):
                    peer.send(b"park")
                wait_for(lambda: watcher.count()["parked"] == 50, "parked")
            wait_for(lambda: watcher.count()["parked"] == 0, "dropped")
        wait_for(lambda: watcher.count()["held"] == 1, "nothing is held")
        count = watcher.count()
        assert count["connected"] == 21 and count["closed"] == 20 and count["connections"] == 1


def test_dropped_and_cut(start):
    echo = start()
    with Peer(echo.path) as peer, Peer(echo.path) as other:
        peer.send(b"drop")
        assert peer.ask(b"x") == b"x"
        peer.send(b"cut")
        assert peer.is_closed()
        assert other.count()["disconnected"] == 1


# --- limits -----------------------------------------------------------------------------------
def test_max_requests_is_backpressure(start):
    """At the limit nothing is read, below it everybody is served; the broker never parks so many."""
    echo = start("max_requests=100")
    with Peer(echo.path) as peer, Peer(echo.path) as other:
        for _ in range(99):
            peer.send(b"park")
        wait_for(lambda: other.count()["parked"] == 99, "parked")
        for _ in range(200):
            assert other.ask(b"hello") == b"hello"
        with Peer(echo.path) as third:
            late = third.send(b"park")
            other.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                for _ in range(10):  # the first may still be before the hundredth
                    other.ask(b"hello")
        # The hundredth's connection is gone: there is room, and what waited is answered.
        assert late == 1
        other.socket.settimeout(GENEROUS_S)
        assert other.receive()[1] == b"hello"
        assert other.count()["parked"] == 99


def test_oversized_message_closes_its_connection(start):
    echo = start("max_message_bytes=65536")
    with Peer(echo.path) as other:
        for claimed in (65537, 1 << 30, 1 << 40, 1 << 62, (1 << 64) - 1):
            with Peer(echo.path) as peer:
                peer.socket.sendall(struct.pack(">BQ", 1, claimed))
                try:
                    peer.socket.sendall(b"\x80\0\0\1" + b"x" * 70000)
                except ConnectionError:
                    pass
                assert peer.is_closed(), claimed
        assert other.ask(b"hello") == b"hello"
        assert other.ask(b"x" * 65532) == b"x" * 65532
    assert echo.rss_mib() < 100 * echo.memory_factor()


def test_connections_of_one_peer_are_limited(start):
    echo = start("max_connections=5")
    peers = [Peer(echo.path) for _ in range(5)]
    for peer in peers:
        assert peer.ask(b"x") == b"x"
    for _ in range(10):
        with Peer(echo.path) as sixth:
            assert sixth.is_closed()
    assert peers[0].count()["refused"] == 10
    peers.pop().close()
    wait_for(lambda: peers[0].count()["connections"] == 4, "one is gone")
    with Peer(echo.path) as fifth:
        assert fifth.ask(b"x") == b"x"
    for peer in peers:
        peer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
def test_another_user_is_refused(start, folder):
    echo = start("allowed_uid=0")
    os.chmod(folder, 0o755)
    os.chmod(echo.path, 0o666)
    code = f"""
import os, socket
os.setresuid(65534, 65534, 65534)
s = socket.socket(socket.AF_UNIX); s.settimeout({GENEROUS_S}); s.connect({str(echo.path)!r})
s.sendall({HELLO + frame(1, b"hello")!r})
data = b""
try:
    while True:
        more = s.recv(100)
        if not more: break
        data += more
except ConnectionError:
    pass
assert data in (b"", {HELLO_BACK!r}), data
print("closed")
"""
    ran = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, timeout=60)
    assert ran.stdout == b"closed\n", ran.stderr
    with Peer(echo.path) as peer:
        count = peer.count()
        assert count["refused"] == 1 and count["requests"] == 1 and count["connected"] == 1


# --- the path ---------------------------------------------------------------------------------
def test_second_server_refuses_and_disturbs_nothing(start, folder):
    echo = start()
    with Peer(echo.path) as peer:
        inode = os.lstat(echo.path).st_ino
        for _ in range(5):
            second = Echo(folder)
            assert not second.ready and second.process.wait(GENEROUS_S) == 3
            second.process.stdin.close()
            second.process.stdout.close()
        assert f"another server (process {echo.process.pid}) holds" in echo.log()
        assert peer.ask(b"x") == b"x" and os.lstat(echo.path).st_ino == inode
        assert peer.count()["repairs"] == 0
    assert is_served(echo.path, 2)


def test_stale_socket_of_a_killed_server_is_replaced(start, folder):
    first = start()
    first.process.kill()
    first.process.wait()
    assert stat.S_ISSOCK(os.lstat(first.path).st_mode)
    second = start()
    assert is_served(second.path, 2)


def test_what_is_no_socket_stays(start, folder):
    target = folder / "victim"
    target.write_text("precious")
    for make in (lambda p: p.write_text("file"), lambda p: p.symlink_to(target),
                 lambda p: p.mkdir()):
        path = folder / "t"
        make(path)
        before = os.lstat(path)
        echo = Echo(folder, path=path)
        assert not echo.ready and echo.process.wait(GENEROUS_S) == 3
        assert "exists and is not a socket" in echo.log()
        assert os.lstat(path).st_ino == before.st_ino and target.read_text() == "precious"
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_lock_file_is_no_link(folder):
    victim = folder / "victim"
    victim.write_text("precious")
    (folder / "s.lock").symlink_to(victim)
    echo = Echo(folder)
    assert not echo.ready and echo.process.wait(GENEROUS_S) == 3
    assert "symbolic link" in echo.log() and victim.read_text() == "precious"


def test_socket_of_another_program_is_left_alone(folder):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "s"))
        other.listen()
        echo = Echo(folder)
        assert not echo.ready and echo.process.wait(GENEROUS_S) == 3
        assert "another program listens" in echo.log()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("url, words", [
    ("tcp://127.0.0.1:9999", "listening for remote clients comes later"),
    ("abstract://x", "listening for remote clients comes later"),
    ("ws://127.0.0.1:9999", "listening for remote clients comes later"),
    ("tls+tcp://127.0.0.1:9999", "listening for remote clients comes later"),
    ("ipc://relative", "absolute path"), ("ipc:///", "absolute path"), ("", "comes later"),
    ("ipc:///tmp/../tmp/s", '".."'), ("ipc:///tmp/" + "x" * 100, "at most 100"),
    ("ipc:///nonexistent-folder/s", "cannot be used"),
])
def test_urls_that_are_refused(url, words):
    ran = subprocess.run([ECHO, url], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert ran.returncode == 3 and words in ran.stderr.decode(), ran


def test_removed_socket_file_comes_back(start):
    echo = start()
    with Peer(echo.path) as old:
        os.unlink(echo.path)
        assert is_served(echo.path, 5)
        assert old.ask(b"x") == b"x"
        assert old.count()["repairs"] >= 1


def test_replaced_socket_file_is_left_alone(start, folder):
    echo = start()
    with Peer(echo.path) as old:
        os.unlink(echo.path)
        pathlib.Path(echo.path).write_text("mine now")
        wait_for(lambda: "was replaced by something else" in echo.log(), "it is told")
        assert old.ask(b"x") == b"x"
    assert echo.end() == 0
    assert pathlib.Path(echo.path).read_text() == "mine now"
    os.unlink(echo.path)


# --- hostile peers ----------------------------------------------------------------------------
def close_at_once(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(0.2)
        peer.connect(str(path))


@pytest.mark.parametrize("setting, most_s", [("leave_calls=0", 0.5), ("leave_calls=1", 2)])
def test_connect_and_close_peers(start, setting, most_s):
    """200 of them: new clients are served in time, old connections notice nothing.

    With leave_calls nng before 1.6 loses its listener, and it is replaced.
    """
    echo = start(setting)
    old = [Peer(echo.path) for _ in range(5)]
    parked = [peer.send(b"park") for peer in old]
    for _ in range(200):
        try:
            close_at_once(echo.path)
        except OSError:
            pass
    began = time.monotonic()
    # A connection made to a lost listener hangs: each try has its own time.
    assert is_served(echo.path, most_s, patience=0.3), echo.log()
    with Peer(echo.path) as other:
        print(f"served after {time.monotonic() - began:.2f} s, {other.count()['repairs']} repairs")
        assert other.ask(b"free") == b"done"
        wait_for(lambda: other.count()["connections"] == 6, "the check itself is not counted")
        assert setting == "leave_calls=1" or other.count()["repairs"] == 0
    for peer, number in zip(old, parked):
        assert peer.receive() == (number, b"freed")
        assert peer.ask(b"x") == b"x"
        peer.close()


def test_client_amid_connect_and_close_peers(start):
    """Who connects among them is served at once: no connection hangs, no descriptor stays."""
    echo = start()
    with Peer(echo.path) as old:
        before = echo.descriptors()
        for _ in range(50):
            for _ in range(5):
                close_at_once(echo.path)
            with Peer(echo.path, timeout=2) as caught:
                assert caught.ask(b"hello") == b"hello"
        assert old.count()["repairs"] == 0
        wait_for(lambda: echo.descriptors() <= before + 3, "descriptors are back")


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.0\r\n\r\n", b"\0SP\0\0\x20\0\0", b"\0SP\1\0\x30\0\0", b"\xff" * 8,
    HELLO + b"\2" + b"\0" * 12, HELLO + struct.pack(">BQ", 1, 0),
    HELLO + struct.pack(">BQ", 1, 1) + b"x", HELLO + struct.pack(">BQI", 1, 4, 1),
])
def test_garbage_ends_its_connection_alone(start, garbage):
    echo = start()
    with Peer(echo.path) as old, Peer(echo.path, handshake=False) as peer:
        peer.socket.sendall(garbage)
        assert peer.is_closed()
        assert old.ask(b"x") == b"x"
        assert is_served(echo.path, 3)


def test_too_many_hops_get_no_answer(start):
    """nng drops a message with more than 8 words before its transport id, and goes on."""
    echo = start()
    with Peer(echo.path) as peer:
        for hops in (0, 1, 7):
            words = struct.pack(f">{hops + 1}I", *range(1, hops + 1), 0x80000007)
            peer.socket.sendall(struct.pack(">BQ", 1, len(words) + 1) + words + b"x")
            assert peer.read(9 + len(words) + 1)[9:] == words + b"x"
        words = struct.pack(">10I", *range(1, 11))
        peer.socket.sendall(struct.pack(">BQ", 1, len(words)) + words)
        assert peer.ask(b"x") == b"x"


def test_slow_sender_delays_nobody(start):
    echo = start()
    with Peer(echo.path, handshake=False) as slow, Peer(echo.path) as other:
        worst = 0.0
        for byte in HELLO + frame(1, b"slow but right"):
            slow.socket.sendall(bytes([byte]))
            began = time.monotonic()
            assert other.ask(b"x") == b"x"
            worst = max(worst, time.monotonic() - began)
        assert slow.read(8) == HELLO_BACK and slow.receive() == (1, b"slow but right")
        assert worst < 1


def test_client_that_never_reads_is_disconnected(start):
    """100,000 requests whose answers nobody reads: memory stays bounded, others are served."""
    echo = start("send_timeout_ms=1000", "max_requests=20000")
    with Peer(echo.path) as other, Peer(echo.path) as deaf:
        deaf.socket.setblocking(False)
        pending = memoryview(b"".join(frame(i, b"x" * 1000) for i in range(1, 100001)))
        worst, top, ended = 0.0, 0.0, False
        end = time.monotonic() + 60
        while pending and not ended and time.monotonic() < end:
            try:
                if select.select([], [deaf.socket], [], 0.01)[1]:
                    pending = pending[deaf.socket.send(pending[:1 << 16]):]
            except ConnectionError:
                ended = True
            began = time.monotonic()
            assert other.ask(b"hello") == b"hello"
            worst, top = max(worst, time.monotonic() - began), max(top, echo.rss_mib())
        assert ended or deaf.is_closed()
        wait_for(lambda: other.count()["held"] == 1, "nothing is held for it any more")
        count = other.count()
        print(f"others at worst {worst * 1000:.0f} ms, {top:.0f} MiB, {count}")
        assert count["disconnected"] == 1 and worst < 2
        assert top < 200 * echo.memory_factor()


def test_unread_megabytes_are_bounded(start):
    echo = start("send_timeout_ms=20000")
    with Peer(echo.path) as other, Peer(echo.path) as deaf:
        deaf.socket.sendall(b"".join(frame(i, b"big 262144") for i in range(1, 2001)))
        wait_for(lambda: other.count()["disconnected"] == 1, "it is disconnected")
        assert echo.rss_mib() < 200 * echo.memory_factor(), "2,000 answers of 256 KiB would be 500 MiB"
        assert other.ask(b"hello") == b"hello"


def test_idle_sockets(start):
    """5,000 connections that never say a word hold descriptors for 10 s, and nothing else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(5000, hard - 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        echo = start(descriptors=hard)
        with Peer(echo.path) as old:
            while len(idle) < n:
                idle.append(socket.socket(socket.AF_UNIX))
                idle[-1].setblocking(False)
                try:
                    idle[-1].connect(str(echo.path))
                except BlockingIOError:  # the listener's queue of 128 is full
                    idle.pop().close()
                    select.select([], [], [], 0.001)
            assert old.ask(b"x") == b"x"
            began = echo.ticks(), time.monotonic()
            assert is_served(echo.path, 5)
            wait_for(lambda: echo.descriptors() < 100, "they are closed", timeout=40)
            used = (echo.ticks() - began[0]) / os.sysconf("SC_CLK_TCK")
            print(f"{used:.2f} s of processor in {time.monotonic() - began[1]:.1f} s")
            assert old.ask(b"x") == b"x" and old.count()["connected"] <= 2 + 1
            assert is_served(echo.path, 5)
    finally:
        for peer in idle:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("word, most", [(HELLO, 0.05), (b"", 0.3)])
def test_out_of_descriptors(start, word, most):
    """64 descriptors, 200 peers: no spin, who is in is served, and it recovers.

    Peers that say hello are refused in time. Silent ones hold all descriptors until the handshake's
    10 s are over; nng 1.5 then tries to accept every 10 ms, which costs it about 10 % of a core.
    """
    echo = start(descriptors=64)
    with Peer(echo.path) as old:
        crowd = []
        for _ in range(200):
            peer = socket.socket(socket.AF_UNIX)
            peer.setblocking(False)
            try:
                peer.connect(str(echo.path))
                peer.send(word)
            except OSError:
                pass
            crowd.append(peer)
            select.select([], [], [], 0.001)
        ticks, began = echo.ticks(), time.monotonic()
        while time.monotonic() - began < 3:
            assert old.ask(b"x") == b"x"
            select.select([], [], [], 0.1)
        used = (echo.ticks() - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
        print(f"{used * 100:.1f} % of a core, {echo.descriptors()} descriptors")
        assert used < most
        for peer in crowd:
            peer.close()
        assert is_served(echo.path, 25), echo.log()
        assert old.ask(b"x") == b"x"


CLIENT = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(bytes.fromhex("0053500000300000")); n = 0
print("on", flush=True)
while True:
    n += 1
    s.sendall(b"".join(struct.pack(">BQI", 1, 8, 0x80000000 | i) + (b"park", b"echo")[i % 2]
              for i in range(n * 10, n * 10 + 10)))
    s.recv(100)
"""


def test_clients_killed_at_random(start):
    echo = start()
    chance = random.Random(7)
    with Peer(echo.path) as watcher:
        for _ in range(10):
            clients = [subprocess.Popen(["/usr/bin/python3", "-c", CLIENT, echo.path],
                                        stdout=subprocess.PIPE) for _ in range(4)]
            for client in clients:
                assert client.stdout.readline() == b"on\n"
            for client in chance.sample(clients, len(clients)):
                select.select([], [], [], chance.uniform(0, 0.02))
                client.send_signal(signal.SIGKILL)
            for client in clients:
                client.wait()
                client.stdout.close()
        wait_for(lambda: (c := watcher.count())["connections"] == 1 and c["held"] == 1,
                 "only the watcher is left")
        count = watcher.count()
        assert count["parked"] == 0 and count["connected"] == 41 == count["closed"] + 1
        assert count["answered"] >= count["tokens"] - 1
