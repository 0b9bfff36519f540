"""A scripted server: plain sockets, SP framing, protoc's Python. It answers as a server would, unless a
test says otherwise for a method: then it drops, delays, doubles, lies, or cuts the connection."""
import os
import pathlib
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "proto" / "tests"))
import contract  # noqa: E402

pb = contract.names()
SERVICE = "/spawn.v1.SpawnService/"
HELLO = bytes.fromhex("0053500000310000")
LIMIT_S = 20
LAST = 255


def rung(signal, scope, wait_ms):
    return pb.Rung(action=pb.ACTION_SIGNAL, signal=signal, scope=scope, wait_ms=wait_ms)


DEFAULT_LADDER = [rung(2, pb.SCOPE_LEADER, 5000), rung(15, pb.SCOPE_TREE, 2000),
                  rung(9, pb.SCOPE_TREE, 2000)]


class Call:
    """One request that has arrived."""

    def __init__(self, peer, connection, transport_id, body):
        self.at = time.monotonic()
        self.peer, self.connection, self.transport_id, self.body = peer, connection, transport_id, body
        self.request = pb.Request.FromString(body)
        self.method = self.request.method.removeprefix(SERVICE)
        self.id = self.request.request_id
        self.payload = getattr(pb, self.method + "Request").FromString(self.request.payload)
        self.answered_at = None  # stamped just before the answer is written

    def response(self, payload=None, code=0, request_id=None, epoch=None, message="", **detail):
        return pb.Response(
            request_id=self.id if request_id is None else request_id,
            epoch=self.peer.epoch if epoch is None else epoch,
            status=pb.Status(code=code, message=message, **detail),
            payload=payload.SerializeToString() if payload is not None else b"")

    def reply(self, payload=None, **how):
        self.reply_raw(self.response(payload, **how).SerializeToString())

    def reply_raw(self, body, transport_id=None):
        self.answered_at = self.answered_at or time.monotonic()
        self.connection.write(body, self.transport_id if transport_id is None else transport_id)

    def refuse(self, code, **detail):
        self.reply(code=code, **detail)

    def cut(self):
        self.connection.close()


class Connection:
    def __init__(self, peer, sock, number):
        self.peer, self.socket, self.number = peer, sock, number
        self.lock = threading.Lock()
        self.open = True

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def write_bytes(self, data):
        with self.lock:
            try:
                self.socket.sendall(data)
            except OSError:
                pass  # the client has gone: as good as lost

    def write(self, body, transport_id):
        kind = b"\x01" if self.peer.ipc else b""
        self.write_bytes(kind + struct.pack(">QI", 4 + len(body), transport_id) + body)

    def close(self):
        self.open = False
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def serve(self):
        try:
            self.write_bytes(HELLO)
            self.read(8)
            while True:
                if self.peer.ipc:
                    self.read(1)
                length, = struct.unpack(">Q", self.read(8))
                self.peer.largest = max(self.peer.largest, length)
                message = self.read(length)
                self.peer.take(Call(self.peer, self, struct.unpack(">I", message[:4])[0],
                                    message[4:]))
        except (ConnectionError, OSError):
            pass
        finally:
            self.close()
            self.socket.close()


class Process:
    """One process of the model."""

    def __init__(self, process_id, call, ladder):
        self.id, self.session_id, self.request_id = process_id, call.request.session_id, call.id
        self.ladder, self.rung, self.exit, self.released = ladder, 0, None, False
        self.name = call.payload.name

    def spawned(self):
        return pb.SpawnResponse(process_id=self.id, pid=1234, ladder=self.ladder, exit=self.exit)

    def record(self, kind=1, **fields):
        fields.setdefault("tree_empty", True)
        fields.setdefault("cause", pb.EXIT_CAUSE_ITSELF)
        return pb.ExitRecord(process_id=self.id, session_id=self.session_id,
                             spawn_request_id=self.request_id, kind=kind, rung=self.rung,
                             tree_proof=pb.TREE_PROOF_CGROUP, **fields)


class Peer:
    """The server. peer.on(method, handler) replaces what it does; peer.plain(call) is the model."""

    def __init__(self, transport="ipc", epoch=0x11112222):
        self.folder = tempfile.mkdtemp(prefix="spawnd-peer-")
        self.ipc, self.epoch, self.changed = transport == "ipc", epoch, threading.Condition()
        self.calls, self.handlers, self.connections = [], {}, []
        self.processes, self.spawns, self.parked, self.timers = {}, {}, [], []
        self.n_sessions = self.n_processes = self.largest = 0
        self.sessions, self.limits, self.lease_ms = set(), pb.Limits(
            max_message_bytes=1 << 20, max_launch_bytes=(1 << 20) - 65536, max_hold_ms=25000,
            max_spawn_hold_ms=1000, takeover_ms=2000, max_wait_ms=86400000, max_rungs=8,
            max_read_bytes=(1 << 20) - 4096, max_write_bytes=65536), 10000
        self.path = self.folder + "/s"
        self.listener, self.port = None, 0
        self.listen()

    @property
    def url(self):
        return f"ipc://{self.path}" if self.ipc else f"tcp://127.0.0.1:{self.port}"

    def listen(self):
        if self.ipc:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.changed:
                connection = Connection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
                self.changed.notify_all()
            threading.Thread(target=connection.serve, daemon=True).start()

    def deafen(self):
        """Nobody can connect any more."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        if self.ipc:
            os.unlink(self.path)

    def cut_all(self):
        for connection in list(self.connections):
            connection.close()

    def restart(self, epoch=0x33334444):
        """Another server takes this one's place."""
        self.deafen()
        with self.changed:
            self.epoch, self.processes, self.spawns, self.sessions = epoch, {}, {}, set()
            self.parked = []
        self.cut_all()
        self.listen()

    def close(self):
        if self.listener.fileno() >= 0:
            self.deafen()
        for timer in self.timers:
            timer.cancel()
        self.cut_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What has come.
    def take(self, call):
        with self.changed:
            self.calls.append(call)
            handler = self.handlers.get(call.method, self.plain)
            self.changed.notify_all()
        handler(call)

    def on(self, method, handler):
        self.handlers[method] = handler

    def seen(self, method, **match):
        return [c for c in list(self.calls) if c.method == method
                and all(getattr(c.payload, k) == v for k, v in match.items())]

    def wait_for(self, condition, what, limit_s=LIMIT_S):
        with self.changed:
            assert self.changed.wait_for(condition, limit_s), f"not within {limit_s} s: {what}"
        return condition()

    def wait_seen(self, method, count=1, limit_s=LIMIT_S, **match):
        self.wait_for(lambda: len(self.seen(method, **match)) >= count, f"{count} {method} {match}",
                      limit_s)
        return self.seen(method, **match)

    def later(self, delay_s, do, *arguments):
        timer = threading.Timer(delay_s, do, arguments)
        timer.daemon = True
        self.timers.append(timer)
        timer.start()

    # The model.
    def plain(self, call):
        if call.method not in ("OpenSession", "GetServerInfo"):
            if call.request.session_id >> 32 != self.epoch:
                return call.refuse(pb.CODE_UNAUTHENTICATED,
                                   epoch_changed=pb.EpochChanged(epoch=self.epoch))
            if call.request.session_id not in self.sessions:
                return call.refuse(pb.CODE_UNAUTHENTICATED, session_expired=pb.SessionExpired())
        getattr(self, "do_" + call.method)(call)

    def find(self, target):
        if target.WhichOneof("by") == "process_id":
            found = self.processes.get(target.process_id)
        else:
            found = self.spawns.get((target.spawn.session_id, target.spawn.request_id))
        return None if found and found.released else found

    def do_OpenSession(self, call, **changes):
        with self.changed:
            self.n_sessions += 1
            session_id = self.epoch << 32 | self.n_sessions
            self.sessions.add(session_id)
        opened = dict(session_id=session_id, epoch=self.epoch, version="peer", major=1, minor=0,
                      lease_ms=self.lease_ms, limits=self.limits)
        opened.update(changes)
        call.reply(pb.OpenSessionResponse(**opened))

    def do_KeepAlive(self, call):
        call.reply(pb.KeepAliveResponse(lease_ms=self.lease_ms))

    def do_CloseSession(self, call):
        self.sessions.discard(call.request.session_id)
        call.reply(pb.CloseSessionResponse())

    def make(self, call):
        """The process of a Spawn: one for each key, however often it is asked."""
        with self.changed:
            key = call.request.session_id, call.id
            if key not in self.spawns:
                self.n_processes += 1
                ladder = list(call.payload.ladder) or DEFAULT_LADDER
                if ladder[-1].signal != 9:
                    ladder = ladder + [rung(9, pb.SCOPE_TREE, 2000)]
                process = Process(self.epoch << 32 | self.n_processes, call, ladder)
                self.spawns[key] = self.processes[process.id] = process
            return self.spawns[key]

    def do_Spawn(self, call):
        call.reply(self.make(call).spawned())

    def do_Cancel(self, call):
        process = self.find(call.payload.target)
        if not process and call.payload.target.WhichOneof("by") == "spawn":
            return call.reply(pb.CancelResponse(never_started=True))
        if not process:
            return call.refuse(pb.CODE_NOT_FOUND)
        last = len(process.ladder)
        process.rung = max(process.rung, last if call.payload.rung == LAST else call.payload.rung)
        call.reply(self.cancelled(process))

    def cancelled(self, process, **changes):
        fields = dict(process_id=process.id, rung_reached=process.rung, ladder=process.ladder,
                      exit=process.exit)
        fields.update(changes)
        return pb.CancelResponse(**fields)

    def do_Signal(self, call):
        call.reply(pb.SignalResponse(hit=1))

    def awaited(self, process):
        return pb.AwaitExitResponse(process_id=process.id, done=True, exit=process.exit)

    def do_AwaitExit(self, call):
        process = self.find(call.payload.target)
        if not process:
            return call.refuse(pb.CODE_NOT_FOUND)
        with self.changed:
            park = process.exit is None and call.payload.hold_ms
            if park:
                self.parked.append((process, call))
        if park:
            return self.later(call.payload.hold_ms / 1000, self.expire, process, call)
        if process.exit is None:
            return call.reply(pb.AwaitExitResponse(process_id=process.id))
        call.reply(self.awaited(process))

    def expire(self, process, call):
        with self.changed:
            if (process, call) not in self.parked:
                return
            self.parked.remove((process, call))
        call.reply(pb.AwaitExitResponse(process_id=process.id))

    def end(self, process, kind=1, **fields):
        """The process has ended: parked calls are answered. The stamp just before the first answer."""
        with self.changed:
            process.exit = process.record(kind, **fields)
            ready = [c for p, c in self.parked if p is process]
            self.parked = [(p, c) for p, c in self.parked if p is not process]
        at = time.monotonic()
        for call in ready:
            call.reply(self.awaited(process))
        return at

    def do_Release(self, call):
        process = self.find(call.payload.target)
        if not process:
            return call.refuse(pb.CODE_NOT_FOUND)
        process.released = True
        call.reply(pb.ReleaseResponse())

    def do_ReadOutput(self, call):
        data = b"0123456789"[call.payload.offset:][:call.payload.max]
        call.reply(pb.ReadOutputResponse(offset=call.payload.offset, data=data,
                                         eof=pb.EOF_CLOSED if call.payload.offset >= 10 else 0))

    def do_WriteStdin(self, call):
        call.reply(pb.WriteStdinResponse(offset=call.payload.offset + len(call.payload.data),
                                         closed=call.payload.close))

    def info_of(self, process):
        return pb.ProcessInfo(
            process_id=process.id, session_id=process.session_id,
            spawn_request_id=process.request_id, name=process.name, argv=[b"argv0"], pid=1234,
            state=pb.PROCESS_STATE_ENDED if process.exit else pb.PROCESS_STATE_RUNNING,
            ladder=process.ladder, rung_reached=process.rung, exit=process.exit)

    def do_ListProcesses(self, call):
        if call.payload.HasField("target"):
            process = self.find(call.payload.target)
            if not process:
                return call.refuse(pb.CODE_NOT_FOUND)
            listed = [process]
        else:
            listed = [p for p in self.processes.values()
                      if not p.released and p.id > call.payload.page_token]
        page = listed[:2]  # small, so that pages are turned
        call.reply(pb.ListProcessesResponse(
            processes=[self.info_of(p) for p in page],
            next_page_token=page[-1].id if len(listed) > 2 else 0))

    def do_GetServerInfo(self, call):
        call.reply(pb.GetServerInfoResponse(version="peer", epoch=self.epoch, limits=self.limits))
