"""A client made of a plain socket and protoc's generated Python alone, written from docs/spec/.

It is no library: it retries nothing and hides nothing, so that a test sees each answer as it is.
"""
import pathlib
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto" / "tests"))
import contract  # noqa: E402

pb = contract.names()
CODE = contract.modules()["status"].Code
SERVICE = "/spawn.v1.SpawnService/"
HELLO = bytes.fromhex("0053500000300000")
HELLO_BACK = bytes.fromhex("0053500000310000")
FOREVER = 2**64 - 1
LAST = 255
GENEROUS_S = 20


class Refused(Exception):
    """An answer whose status is not OK."""

    def __init__(self, response):
        self.status = response.status
        self.code = (CODE.Name(response.status.code) if response.status.code in CODE.values()
                     else str(response.status.code)).removeprefix("CODE_")
        self.detail = response.status.WhichOneof("detail")
        self.value = getattr(response.status, self.detail) if self.detail else None
        super().__init__(f"{self.code} {self.status.message!r} {self.detail}: {self.value}")


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    """One SP REQ connection, ipc or tcp, with any number of requests outstanding."""

    def __init__(self, url, handshake=True):
        self.ipc = url.startswith("ipc://")
        if self.ipc:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(GENEROUS_S)
            self.socket.connect(url.removeprefix("ipc://"))
        else:
            host, port = url.removeprefix("tcp://").rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout=GENEROUS_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport_id = 0x80000000
        self.answers = {}
        self.buffer = b""
        if handshake:
            self.write(HELLO)
            assert self.read(8) == HELLO_BACK

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, data):
        self.socket.sendall(data)

    def read(self, size):
        while len(self.buffer) < size:
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed()
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def frame(self, body, transport_id):
        kind = b"\x01" if self.ipc else b""
        return kind + struct.pack(">QI", 4 + len(body), transport_id) + body

    def send(self, body):
        """Sends one request; returns its transport id."""
        self.transport_id += 1
        self.write(self.frame(body, self.transport_id))
        return self.transport_id

    def receive(self):
        """The next message: (transport id, body)."""
        if self.ipc:
            assert self.read(1) == b"\x01"
        length, = struct.unpack(">Q", self.read(8))
        assert 4 <= length <= 1 << 20
        message = self.read(length)
        return struct.unpack(">I", message[:4])[0], message[4:]

    def answer(self, transport_id, timeout=GENEROUS_S):
        """Waits for the body that answers a request, whatever else is answered meanwhile."""
        until = time.monotonic() + timeout
        while transport_id not in self.answers:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer")
            self.socket.settimeout(left)
            found, body = self.receive()
            self.answers[found] = body
        return self.answers.pop(transport_id)

    def is_closed(self, timeout=GENEROUS_S):
        """Waits until the server has closed; False where it has not in time."""
        self.socket.settimeout(timeout)
        try:
            while True:
                self.read(len(self.buffer) + 1)
        except Closed:
            return True
        except TimeoutError:
            return False


def request_type(method):
    return getattr(pb, method + "Request")


def target(of):
    """A Target of a process id, a (session id, request id), or an answer that has a process_id."""
    if isinstance(of, tuple):
        return pb.Target(spawn=pb.SpawnKey(session_id=of[0], request_id=of[1]))
    return pb.Target(process_id=of if isinstance(of, int) else of.process_id)


def rung(signal, scope, wait_ms, action=None):
    return pb.Rung(action=action or pb.ACTION_SIGNAL, signal=signal, wait_ms=wait_ms,
                   scope=getattr(pb, f"SCOPE_{scope}"))


class Client:
    """One session on one connection."""

    def __init__(self, url, lease_ms=0, connection=None):
        self.url = url
        self.connection = connection or Connection(url)
        self.session_id, self.next_id, self.floor, self.epoch = 0, 0, 0, None
        self.opened = self.call("OpenSession", major=1, minor=0, client="plain client",
                                lease_ms=lease_ms)
        self.session_id = self.opened.session_id
        self.limits = self.opened.limits

    def close_connection(self):
        self.connection.close()

    def reconnect(self):
        self.connection.close()
        self.connection = Connection(self.url)

    def new_id(self):
        self.next_id += 1
        return self.next_id

    # One call, in two halves, so that many can be outstanding.
    def start(self, method, payload=None, request_id=None, connection=None, **fields):
        """Sends a call. fields are of the method's request, or with a leading _ of the envelope."""
        own = {k[1:]: v for k, v in fields.items() if k.startswith("_")}
        fields = {k: v for k, v in fields.items() if not k.startswith("_")}
        if payload is None:
            payload = request_type(method)(**fields).SerializeToString()
        envelope = dict(method=SERVICE + method, session_id=self.session_id, floor=self.floor,
                        request_id=self.new_id() if request_id is None else request_id,
                        payload=payload)
        envelope.update(own)
        connection = connection or self.connection
        sent = connection.send(pb.Request(**envelope).SerializeToString())
        return connection, sent, method, envelope["request_id"]

    def finish(self, call, timeout=GENEROUS_S):
        """The whole Response and, where it is OK, the decoded payload."""
        connection, sent, method, request_id = call
        response = pb.Response.FromString(connection.answer(sent, timeout))
        assert response.HasField("status"), "a Response without status (ENV-7)"
        assert response.request_id == request_id
        assert response.epoch != 0
        if self.epoch is None:
            self.epoch = response.epoch
        if response.status.code != pb.CODE_OK:
            assert not response.payload
            return response, None
        return response, getattr(pb, method + "Response").FromString(response.payload)

    def result(self, call, timeout=GENEROUS_S):
        response, payload = self.finish(call, timeout)
        if payload is None:
            raise Refused(response)
        return payload

    def call(self, method, timeout=GENEROUS_S, **fields):
        return self.result(self.start(method, **fields), timeout)

    # The methods.
    def spawn_fields(self, argv, fields):
        fields = dict(fields)
        fields.setdefault("on_owner_lost", pb.ON_OWNER_LOST_KILL)
        if isinstance(fields.get("env"), dict):
            fields["env"] = [pb.EnvVar(name=n, value=v) for n, v in fields["env"].items()]
        for name in ("stdin", "stdout", "stderr"):
            if fields.get(name) == "pipe":
                fields[name] = pb.Stdio(kind=pb.STDIO_KIND_PIPE)
        return dict(fields, argv=[a if isinstance(a, bytes) else str(a).encode() for a in argv])

    def start_spawn(self, *argv, **fields):
        return self.start("Spawn", **self.spawn_fields(argv, fields))

    def spawn(self, *argv, **fields):
        return self.result(self.start_spawn(*argv, **fields))

    def cancel(self, of, rung=1, wait_ms=200, **fields):
        return self.call("Cancel", target=target(of), rung=rung, wait_ms=wait_ms, **fields)

    def signal(self, of, signal, scope="LEADER", **fields):
        return self.call("Signal", target=target(of), signal=signal,
                         scope=getattr(pb, f"SCOPE_{scope}"), **fields)

    def poll(self, of, hold_ms=0, until=0):
        return self.call("AwaitExit", target=target(of), hold_ms=hold_ms, until=until)

    def await_exit(self, of, until=0, timeout=GENEROUS_S):
        """Asks until the fact holds; the record."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            answer = self.poll(of, hold_ms=int(1000 * max(0, end - time.monotonic())), until=until)
            if answer.done:
                return answer.exit
        raise TimeoutError(f"not ended: {answer}")

    def release(self, of):
        return self.call("Release", target=target(of))

    def read(self, of, stream=None, **fields):
        return self.call("ReadOutput", target=target(of), stream=stream or pb.STREAM_STDOUT, **fields)

    def read_until(self, of, text, stream=None):
        """Everything from the stream's start to the piece that holds text."""
        got, end = b"", time.monotonic() + GENEROUS_S
        while text not in got:
            assert time.monotonic() < end, got
            piece = self.read(of, stream, offset=len(got), hold_ms=1000)
            got += piece.data
            assert text in got or not piece.eof, got
        return got

    def read_all(self, of, stream=None, release=True):
        """The whole stream, and how it ended. Fails where a byte was dropped."""
        got = bytearray()
        while True:
            piece = self.read(of, stream, offset=len(got), hold_ms=5000,
                              release=len(got) if release else 0)
            assert piece.offset == len(got)
            got += piece.data
            if piece.eof:
                return bytes(got), piece.eof

    def write_stdin(self, of, offset, data, **fields):
        return self.call("WriteStdin", target=target(of), offset=offset, data=data, **fields)

    def list(self, **fields):
        return list(self.call("ListProcesses", **fields).processes)

    def mine(self, **fields):
        """Those of this session."""
        return self.list(session_id=self.session_id, page_size=1000, **fields)

    def find(self, of):
        found, = self.list(target=target(of))
        return found

    def info(self):
        return self.call("GetServerInfo")

    def key(self, request_id):
        return self.session_id, request_id

    def close_session(self):
        return self.call("CloseSession")
