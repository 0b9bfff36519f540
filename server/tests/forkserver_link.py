"""Drives spawnd over its private link, in the broker's place: the broker that spawnd starts is this
file run as a program, which hands its end of the link to the test and waits."""
import array
import fcntl
import mmap
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve()
LINK = HERE.parents[1] / "link"


def hand_over():
    """The program that spawnd takes for its broker."""
    link = socket.socket(fileno=3)
    test = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    test.connect(os.environ["SPAWND_TEST_SOCKET"])
    test.sendmsg([struct.pack("=i", os.getpid())],
                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [3]))])
    link.close()
    status = test.recv(1)  # until the test lets go
    os._exit(status[0] if status else 0)


if __name__ == "__main__":
    hand_over()

import pytest  # noqa: E402, not in the program
from conftest import CHILDREN, SPAWND, strays, wait_for  # noqa: E402


def enums():
    """Names and numbers of every enum of the link's headers."""
    found = {}
    for header in ("messages.h", "launch.h"):
        text = re.sub(r"//[^\n]*", "", (LINK / header).read_text())
        for body in re.findall(r"enum \w+ \{([^}]*)\}", text):
            value = -1
            for item in filter(None, (part.strip() for part in body.split(","))):
                name, _, number = (part.strip() for part in item.partition("="))
                value = int(number, 0) if number else value + 1
                found[name.removeprefix("LINK_")] = value
    return found


E = enums()
NAMES = {E[name]: name for name in (
    "HELLO REFUSED STARTED START_FAILED ACTED MEMBERS LEADER_EXITED TREE_LEFT TREE_EMPTY "
    "STREAM_STATE STDIN_STATE PING SHUTDOWN").split()}
KEEPSAKE = 2048
MEMBER = "I16sc39s"
LAYOUTS = {  # what follows the header: format and names
    "HELLO": ("IIIIQIIIIQ", "version max_processes max_records realtime_kill epoch next_process "
              "next_session root_pid guard_pid started_ms"),
    "REFUSED": ("QQQi4x", "process_id session_id request_id error"),
    "STARTED": ("QI4xQQQQQQ", "process_id pid started_ms started_unix_ms out_offset out_size "
                "err_offset err_size"),
    "START_FAILED": ("QIiQ", "process_id stage error at_ms"),
    "ACTED": ("QQIiI4xQI", "process_id serial rung error hit at_ms n_alive"),
    "MEMBERS": ("QQII", "process_id serial blocked n_alive"),
    "LEADER_EXITED": ("QIiQ9Q", "process_id code_kind status at_ms user_us system_us max_rss_kib "
                      "minor_faults major_faults in_blocks out_blocks voluntary involuntary"),
    "TREE_EMPTY": ("QI4xQ", "process_id proof at_ms"),
    "TREE_LEFT": ("QI4x", "process_id n_alive"),
    "STREAM_STATE": ("QIIQQQ", "process_id stream eof head tail serial"),
    "STDIN_STATE": ("QQIII4x", "process_id offset room closed broken"),
    "PING": ("Q", "serial"),
    "SHUTDOWN": ("I", "count"),
}


class Message(dict):
    __getattr__ = dict.__getitem__


def decode(record):
    kind, size = struct.unpack_from("=II", record)
    assert size == len(record)
    name = NAMES[kind]
    layout, fields = LAYOUTS[name]
    message = Message(zip(fields.split(), struct.unpack_from("=" + layout, record, 8)), kind=name)
    if name in ("ACTED", "MEMBERS"):
        at = 8 + struct.calcsize("=" + layout)
        message["members"] = [
            Message(pid=pid, comm=comm.rstrip(b"\0"), state=state.decode(),
                    waits_in=waits.rstrip(b"\0"))
            for pid, comm, state, waits in struct.iter_unpack("=" + MEMBER, record[at:at + 8 * 60])
        ][:min(message.n_alive, 8)]
    return message


NULL, FILE, PIPE, TO_STDOUT = (E["LAUNCH_STDIO_" + n] for n in ("NULL", "FILE", "PIPE", "STDOUT"))
DROP_OLDEST, BLOCK = E["POLICY_DROP_OLDEST"], E["POLICY_BLOCK"]


def stdio(kind=NULL, path=None, truncate=False, ring=1 << 16, policy=DROP_OLDEST):
    return Message(kind=kind, path=path, truncate=truncate,
                   ring=ring if kind == PIPE else 0, policy=policy if kind == PIPE else 0)


def launch_bytes(argv, env=(), candidates=None, cwd="/", umask=0o22, io=(), identity=None,
                 rlimits=(), allow_new_privileges=0, cancel_notice=0):
    """The launch file, as launch.h describes it."""
    io = [*io, *[stdio()] * (3 - len(io))]
    candidates = candidates or [argv[0]]
    n_slots = len(argv) + 1 + len(env) + 1 + len(candidates)
    head = struct.Struct("=IIQIIIIQ" + "IIQQII" * 3 + "IIII64I" + "IIII" + "IIQQ" * 16)
    strings, at = b"", head.size + 8 * n_slots

    def put(text):
        nonlocal strings
        offset = at + len(strings)
        strings += os.fsencode(text) + b"\0"
        return offset

    slots = [put(a) for a in argv] + [0] + [put(e) for e in env] + [0] + \
        [put(c) for c in candidates]
    where = put(cwd)
    files = [put(s.path) if s.path else 0 for s in io]
    size = at + len(strings)
    uid, gid, groups = identity or (0, 0, [])
    limits = [(r, 0, s, h) for r, s, h in rlimits] + [(0, 0, 0, 0)] * (16 - len(rlimits))
    packed = head.pack(
        0x4c4e4157, 1, size, len(argv), len(env), len(candidates), umask, where,
        *[v for s, f in zip(io, files) for v in (s.kind, s.truncate, f, s.ring, s.policy, 0)],
        int(identity is not None), uid, gid, len(groups), *groups, *[0] * (64 - len(groups)),
        len(rlimits), allow_new_privileges, cancel_notice, 0, *[v for l in limits for v in l])
    return packed + struct.pack(f"={n_slots}Q", *slots) + strings


def sealed(data, seals=0xf):
    fd = os.memfd_create("launch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, seals)  # F_ADD_SEALS: seal, shrink, grow, write
    return fd


class Root:
    """A running spawnd whose broker is the test."""

    def __init__(self, spawnd, config=None, launcher=None, wrap=(), **popen):
        self.folder = tempfile.TemporaryDirectory(prefix="forkserver-link-")
        path = os.path.join(self.folder.name, "socket")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(20)
        broker = os.path.join(self.folder.name, "broker")
        pathlib.Path(broker).write_text(f"#!/bin/sh\nexec {sys.executable} -S {HERE}\n")
        os.chmod(broker, 0o755)
        env = {**os.environ, "SPAWND_TEST_SOCKET": path}
        command = [*wrap, str(spawnd), "--broker", broker]
        os.chmod(self.folder.name, 0o755)
        os.chmod(path, 0o666)
        if launcher:  # somebody else starts it
            self.process = None
            launcher(command, env)
        else:
            self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, **popen)
        self.broker, _ = listener.accept()
        listener.close()
        data, ancillary, _, _ = self.broker.recvmsg(4, 64)
        self.broker_pid = struct.unpack("=i", data)[0]
        self.link = socket.socket(fileno=array.array("i", ancillary[0][2])[0])
        self.link.setblocking(True)
        self.arrived, self.pings, self.last_ping, self.gone = [], 0, 0, False
        self.changed = threading.Condition()
        self.answer_pings = True
        self.may_read = threading.Event()
        self.may_read.set()
        self.reader = None
        self.next_request = self.serial = 0
        if config is not False:
            self.begin(**(config or {}))

    # --- messages ---------------------------------------------------------------------------

    def begin(self, **config):
        self.send_config(**config)
        record, ancillary, _, _ = self.link.recvmsg(65536, 64)
        self.hello = decode(record)
        self.arena_fd = array.array("i", ancillary[0][2])[0]
        self.arena = mmap.mmap(self.arena_fd, 1 << 30, prot=mmap.PROT_READ)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        threading.Thread(target=self.answer, daemon=True).start()
        self.next_number = self.hello.next_process

    def send_config(self, max_processes=0, max_records=4096, start_timeout_ms=10000,
                    stop_term_wait_ms=500, uids=(), gids=()):
        self.send("CONFIG", struct.pack(
            "=7I64I64I", 1, max_processes, max_records, start_timeout_ms, stop_term_wait_ms,
            len(uids), len(gids), *uids, *[0] * (64 - len(uids)), *gids, *[0] * (64 - len(gids))))

    def send(self, kind, body=b"", fds=()):
        kind = E[kind] if isinstance(kind, str) else kind
        self.send_raw(struct.pack("=II", kind, 8 + len(body)) + body, fds)

    def send_raw(self, record, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.link.sendmsg([record], rights)

    def read(self):
        try:
            while record := self.link.recv(65536):
                self.may_read.wait()
                message = decode(record)
                with self.changed:
                    if message.kind == "PING":
                        self.pings += 1
                        self.last_ping = message.serial
                    else:
                        self.arrived.append(message)
                    self.changed.notify_all()
        except OSError:
            pass
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def answer(self):
        """Answers pings. Apart from reading, which must never wait for room to send."""
        answered = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.last_ping > answered or self.gone)
                answered = self.last_ping
                if self.gone:
                    return
            try:
                if self.answer_pings:
                    self.send("PONG", struct.pack("=Q", answered))
            except OSError:
                return

    def expect(self, kind, timeout=20, **fields):
        """Waits for such a message and takes it."""
        def find():
            for message in self.arrived:
                if message.kind == kind and all(message[k] == v for k, v in fields.items()):
                    return message
            return None
        with self.changed:
            assert self.changed.wait_for(lambda: find() or self.gone, timeout), \
                f"no {kind} {fields}; there is {self.arrived}"
            message = find()
            assert message, f"the link is gone before {kind} {fields}; there is {self.arrived}"
            self.arrived.remove(message)
            return message

    def has(self, kind, **fields):
        with self.changed:
            return any(m.kind == kind and all(m[k] == v for k, v in fields.items())
                       for m in self.arrived)

    # --- orders -----------------------------------------------------------------------------

    def start(self, argv, key=None, keepsake=b"k", data=None, seals=0xf, number=None, **launch):
        """Orders a start; the process id."""
        if number is None:
            number, self.next_number = self.next_number, self.next_number + 1
        self.next_request += 1
        session, request = key or (1, self.next_request)
        process = self.hello.epoch << 32 | number
        fd = sealed(data if data is not None else launch_bytes(argv, **launch), seals)
        self.send("START", struct.pack("=QQQI", process, session, request, len(keepsake)) +
                  keepsake, [fd])
        os.close(fd)
        return process

    def spawn(self, argv, **launch):
        """Starts; (process id, LINK_STARTED)."""
        process = self.start(argv, **launch)
        return process, self.expect("STARTED", process_id=process)

    def act(self, process, rung=0, signal=0, scope="LEADER", action="SIGNAL", serial=1,
            keepsake=b""):
        self.send("ACT", struct.pack("=QQ5I", process, serial, rung, E["ACTION_" + action], signal,
                                     E["SCOPE_" + scope], len(keepsake)) + keepsake)

    def acted(self, process, **act):
        self.act(process, **act)
        return self.expect("ACTED", process_id=process)

    def look(self, process):
        self.send("LOOK", struct.pack("=QQ", process, 7))
        return self.expect("MEMBERS", process_id=process)

    def drop(self, process):
        self.send("DROP", struct.pack("=Q", process))

    def watch(self, process, past=0, stream=0, now=0):
        self.serial += 1
        self.send("STREAM_WATCH", struct.pack("=QIIQQ", process, stream, now, past, self.serial))

    def state(self, process, past=0, stream=0, now=0):
        self.watch(process, past, stream, now)
        return self.expect("STREAM_STATE", process_id=process, stream=stream, serial=self.serial)

    def consumed(self, process, offset, stream=0):
        self.send("STREAM_CONSUMED", struct.pack("=QI4xQ", process, stream, offset))

    def policy(self, process, policy):
        self.send("STREAM_POLICY", struct.pack("=QI4x", process, policy))

    def write(self, process, offset, data=b"", close=0):
        self.send("STDIN", struct.pack("=QQII", process, offset, close, len(data)) + data)
        return self.expect("STDIN_STATE", process_id=process)

    def ring_bytes(self, offset, size, begin, end):
        return bytes(self.arena[offset + at % size] for at in range(begin, end))

    def output(self, process, started, stream=0):
        """All of a stream that fits its ring, until its end."""
        offset, size = ((started.out_offset, started.out_size) if stream == 0 else
                        (started.err_offset, started.err_size))
        past = 0
        while True:
            state = self.state(process, past, stream)
            past = state.head
            if state.eof:
                return self.ring_bytes(offset, size, state.tail, state.head), state

    def ended(self, process):
        return (self.expect("LEADER_EXITED", process_id=process),
                self.expect("TREE_EMPTY", process_id=process))

    def run(self, argv, **launch):
        """Runs to the end; output, LEADER_EXITED, TREE_EMPTY."""
        process, started = self.spawn(argv, io=[stdio(), stdio(PIPE)], **launch)
        leader, empty = self.ended(process)
        data, _ = self.output(process, started)
        self.drop(process)
        return data.decode(), leader, empty

    # --- the processes ----------------------------------------------------------------------

    @property
    def pids(self):
        return self.hello.guard_pid, self.hello.root_pid, self.broker_pid

    def stop(self, timeout=20):
        """Stops in order, as a broker would; the exit status."""
        self.process.terminate()
        self.expect("SHUTDOWN")
        self.send("STOPPED")
        return self.leave(timeout)

    def leave(self, timeout=20):
        """Waits for the end; lets the broker's place go as soon as the link ends."""
        end = time.monotonic() + timeout
        with self.changed:
            self.changed.wait_for(lambda: self.gone, timeout)
        self.broker.close()
        return self.process.wait(max(0.1, end - time.monotonic()))

    def close(self):
        """Whatever happened: leave nothing behind."""
        self.broker.close()
        try:
            self.link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.process and self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process:
            self.process.stdout.close()
        if self.reader:
            self.reader.join(5)
        self.link.close()
        self.folder.cleanup()


# --- for the tests ------------------------------------------------------------------------------

TRUE, CHILD = str(CHILDREN / "test-true"), str(CHILDREN / "test-child")
STUBBORN = [CHILD, "ignore:2", "ignore:15", "daemon", "ignore:2", "ignore:15", "pause", "--",
            "pause"]  # and an escaped grandchild just as stubborn
KILL, TERM, INT, USR1, STOP = (int(s) for s in (
    signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGSTOP))
EXITED, KILLED, DUMPED = 1, 2, 3
SUBREAPER, UNPROVED = E["PROOF_SUBREAPER"], E["PROOF_NONE"]
CLOSED, FORCED = E["EOF_CLOSED"], E["EOF_FORCED"]


@pytest.fixture
def roots():
    """Makes servers; whatever becomes of them, nothing of them is left."""
    made = []

    def make(*arguments, **options):
        made.append(Root(SPAWND, *arguments, **options))
        return made[-1]
    yield make
    for root in reversed(made):
        root.close()
    check_gone()


@pytest.fixture
def root(roots):
    """One server that the test does not end."""
    server = roots()
    yield server
    assert server.stop() == 0


def nothing_left():
    """Nothing lives; what has died as our orphan is reaped."""
    for pid in strays():
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
    return not strays()


def check_gone(timeout=5):
    wait_for(nothing_left, f"no process is left; there were {strays()}", timeout)


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def rss_kib(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def ready(root, process, started, text="ready\n"):
    """Waits until the child has said that it is ready."""
    state = root.state(process)
    said = root.ring_bytes(started.out_offset, started.out_size, 0, state.head).decode()
    assert said.startswith(text), said


def child(root, *words, **launch):
    """A test-child that has said "ready"."""
    process, started = root.spawn([CHILD, *words], io=[stdio(), stdio(PIPE)], **launch)
    ready(root, process, started)
    return process, started


def members(root, process, n):
    """Waits until the tree has n living members."""
    wait_for(lambda: root.look(process).n_alive == n, f"{n} members")


def forest(root, n=30):
    trees = [root.spawn(STUBBORN)[0] for _ in range(n)]
    for process in trees:
        members(root, process, 2)
    return trees


def failed(root, argv, **launch):
    """(step, errno) of a start that fails."""
    process = root.start(argv, **launch)
    answer = root.expect("START_FAILED", process_id=process)
    return answer.stage, answer.error


def refused(root, *arguments, **options):
    """errno of a start that is refused."""
    return root.expect("REFUSED", process_id=root.start(*arguments, **options)).error


def stage(name):
    return E["LAUNCH_" + name]
