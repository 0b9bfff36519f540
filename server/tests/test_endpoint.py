"""The endpoint alone: what it is for, its limits, its socket's path."""
import os
import pathlib
import random
import socket
import stat
import struct
import subprocess
import time

import pytest
from endpoint_harness import (ECHO, GENEROUS_S, HELLO, HELLO_BACK, Echo, Peer, folder, frame,
    is_served, needs_echo, start, wait_for)  # noqa: F401

pytestmark = needs_echo


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
        other = pathlib.Path(folder) / "other"
        other.write_text("mine now")
        os.replace(other, echo.path)  # in one step: a path without anything is bound anew
        wait_for(lambda: "was replaced by something else" in echo.log(), "it is told")
        assert old.ask(b"x") == b"x"
    assert echo.end() == 0
    assert pathlib.Path(echo.path).read_text() == "mine now"
    os.unlink(echo.path)
