"""Peers that misbehave: others are served and notice nothing (SRV-12, TRN-3, TRN-15)."""
import os
import socket
import struct
import subprocess
import time

from conftest import SPAWND
from plain_client import HELLO, SERVICE, Client, Closed, Connection, pb


def connect(server):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    while True:
        try:
            peer.connect(server.url.removeprefix("ipc://"))
            return peer
        except BlockingIOError:  # the backlog is full for a moment
            time.sleep(0.001)


def served_within(server, seconds):
    """How long it takes until a new client is served; it tries again while connects fail."""
    begin = time.monotonic()
    while True:
        assert time.monotonic() - begin < seconds, f"no new client is served within {seconds} s"
        try:
            connection = Connection(server.url, handshake=False)
            connection.socket.settimeout(0.2)
            connection.write(HELLO)
            connection.read(8)
            client = Client(server.url, connection=connection)
            client.close_session()
            connection.close()
            return time.monotonic() - begin
        except (OSError, TimeoutError, Closed):  # a client connects again
            connection.close()


def test_row_r3_200_peers_that_connect_and_close(server, client, child):
    answer = client.spawn(child, "pause")
    parked = client.start("AwaitExit", hold_ms=20_000, target=pb.Target(process_id=answer.process_id))
    for piece in (b"", HELLO[:3], HELLO):
        for _ in range(200 if not piece else 50):
            try:
                with connect(server) as peer:
                    if piece:
                        peer.sendall(piece)
            except (ConnectionError, TimeoutError):
                pass
        assert served_within(server, 2) < 2
        begin = time.monotonic()
        assert client.call("KeepAlive").lease_ms
        assert time.monotonic() - begin < 0.5
    client.cancel(answer, rung=255)
    assert client.result(parked).exit.signal == 9


def test_row_37_39_half_frames_and_silence(server, client, true):
    body = pb.Request(method=SERVICE + "GetServerInfo", request_id=1).SerializeToString()
    frame = b"\x01" + struct.pack(">QI", 4 + len(body), 0x80000001) + body
    peers = []
    for size in (0, 1, 5, 9, 13, len(frame) - 1):
        connection = Connection(server.url)
        connection.write(frame[:size])
        peers.append((connection, size))
    silent = [connect(server) for _ in range(20)]
    begin = time.monotonic()
    for _ in range(20):
        assert client.spawn(true, hold_ms=1000).exit.code == 0
    assert Client(server.url).call("KeepAlive").lease_ms
    assert time.monotonic() - begin < 3
    for connection, size in peers:
        connection.write(frame[size:])  # late, but whole
        transport_id, answer = connection.receive()
        assert transport_id == 0x80000001 and pb.Response.FromString(answer).request_id == 1
        connection.close()
    for peer in silent:
        peer.close()


def test_row_4_a_client_that_never_reads(server, client, true):
    answer = client.spawn("/usr/bin/head", "-c", 900_000, "/dev/zero", stdout=pb.Stdio(
        kind=pb.STDIO_KIND_PIPE, ring_bytes=1 << 20))
    client.await_exit(answer)
    flooder = Connection(server.url)
    flooder.socket.settimeout(0.5)
    request = pb.Request(
        method=SERVICE + "ReadOutput", session_id=client.session_id, request_id=1,
        payload=pb.ReadOutputRequest(target=pb.Target(process_id=answer.process_id),
                                     stream=pb.STREAM_STDOUT, max=900_000).SerializeToString()
    ).SerializeToString()
    before = server.rss_kib()[1]
    try:
        for _ in range(20_000):
            flooder.send(request)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    begin = time.monotonic()
    for _ in range(20):
        assert client.spawn(true, hold_ms=1000).exit.code == 0
    assert time.monotonic() - begin < 3
    assert server.rss_kib()[1] - before < 256 << 10
    flooder.close()


def test_row_72_a_second_server_on_the_same_path_refuses_and_disturbs_nothing(server, client, child):
    answer = client.spawn(child, "pause")
    path = server.url.removeprefix("ipc://")
    before = os.stat(path)
    for _ in range(3):
        second = subprocess.run([SPAWND, "--listen", server.url], capture_output=True, timeout=20)
        assert second.returncode != 0 and second.stderr and not second.stdout
    after = os.stat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert client.find(answer).state == pb.PROCESS_STATE_RUNNING
    assert served_within(server, 2) < 2


def test_many_connections_come_and_go(server, client):
    before = server.descriptors()
    for _ in range(5):
        connections = [Connection(server.url) for _ in range(40)]
        for connection in connections:
            Client(server.url, connection=connection).close_session()
        for connection in connections:
            connection.close()
    server.check_descriptors(before)
    assert client.info().counters.connections <= 3


def test_row_34_empty_messages_in_a_row(server, client):
    for _ in range(50):
        with Connection(server.url) as connection:
            try:
                connection.write(b"\x01" + struct.pack(">Q", 0))
                connection.write(b"\x01" + struct.pack(">QI", 4, 0x80000001))
            except (BrokenPipeError, ConnectionResetError):
                pass  # the first was enough for the server to close
    assert client.call("KeepAlive").lease_ms
