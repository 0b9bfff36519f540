"""A plain socket and generated protobuf code, from the spec alone: spawn, cancel, await; ipc and tcp."""
import socket
import struct
import threading

import pytest
from plain_client import HELLO, HELLO_BACK, Client, Connection, pb, rung


def read_exactly(peer, size):
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def copy(source, sink, source_is_ipc):
    """Passes whole messages on: ipc has a type byte before each, tcp has none (TRN-6)."""
    try:
        while True:
            if source_is_ipc:
                assert read_exactly(source, 1) == b"\x01"
            head = read_exactly(source, 8)
            body = read_exactly(source, struct.unpack(">Q", head)[0])
            sink.sendall((b"" if source_is_ipc else b"\x01") + head + body)
    except (EOFError, OSError):
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Forwarder:
    """Accepts SP over tcp and passes it on to an ipc server."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            ipc = socket.socket(socket.AF_UNIX)
            ipc.connect(self.path)
            ipc.sendall(read_exactly(tcp, 8))
            tcp.sendall(read_exactly(ipc, 8))
            for source, sink, is_ipc in ((tcp, ipc, False), (ipc, tcp, True)):
                self.threads.append(threading.Thread(target=copy, args=(source, sink, is_ipc)))
                self.threads[-1].start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(params=["ipc", "tcp"])
def url(request, server):
    if request.param == "ipc":
        yield server.url
        return
    forwarder = Forwarder(server.url.removeprefix("ipc://"))
    yield forwarder.url
    forwarder.close()


def test_spawn_cancel_await_with_many_calls_outstanding(url, child):
    client = Client(url)
    ladder = [rung(2, "LEADER", 300), rung(15, "TREE", 300)]
    spawns = [client.start_spawn(child, "ignore:2", "quit:15", "pause", ladder=ladder)
              for _ in range(8)]
    answers = [client.result(call) for call in spawns]
    targets = [pb.Target(process_id=answer.process_id) for answer in answers]
    waits = [client.start("AwaitExit", target=one, hold_ms=20_000) for one in targets]
    for number in (1, 2):
        calls = [client.start("Cancel", target=one, rung=number, wait_ms=5000) for one in targets]
        # The answers are asked for last to first: they come in any order (TRN-9).
        for call in reversed(calls):
            reached = client.result(call)
            assert reached.rung_reached == number or reached.HasField("exit")
    for call in reversed(waits):
        assert client.result(call).exit.cause == pb.EXIT_CAUSE_CANCEL
    client.close_session()
    client.close_connection()


def test_both_sides_send_their_handshake_without_waiting(server):
    path = server.url.removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(path)
        assert read_exactly(peer, 8) == HELLO_BACK
    body = pb.Request(method="/spawn.v1.SpawnService/GetServerInfo", request_id=9).SerializeToString()
    with Connection(server.url, handshake=False) as connection:
        connection.write(HELLO + connection.frame(body, 0xffffffff))
        assert connection.read(8) == HELLO_BACK
        transport_id, answer = connection.receive()
        assert transport_id == 0xffffffff and pb.Response.FromString(answer).request_id == 9
