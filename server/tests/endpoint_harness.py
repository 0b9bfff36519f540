"""endpoint-echo as a fixture, and its peers as plain sockets."""
import json
import os
import pathlib
import resource
import socket
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
needs_echo = pytest.mark.skipif(not ECHO.exists(), reason=f"{ECHO} is not built")


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
