"""The fault matrix: one test for each row in scope, with the row's number in its name."""
import ctypes
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest
from conftest import Server, descendants, libc, wait_for
from plain_client import LAST, Client, Connection, Refused, pb, rung

SHORT = [rung(2, "LEADER", 300), rung(15, "TREE", 300), rung(9, "TREE", 2000)]
PTRACE_SEIZE, WALL = 0x4206, 0x40000000


def stubborn(client, child, *more, **fields):
    fields.setdefault("ladder", SHORT)
    answer = client.spawn(child, "ignore:2", "ignore:15", *more, "ready", "pause", stdout="pipe",
                          **fields)
    client.read_until(answer, b"ready")
    return answer


def gaps(record):
    times = [entry.at_ms for entry in record.journal if not entry.skipped]
    return [after - before for before, after in zip(times, times[1:])]


CLIMBER = """
import sys; sys.path.insert(0, sys.argv[1]); from plain_client import *
c, of = Client(sys.argv[2]), int(sys.argv[3])
for number in range(1, int(sys.argv[4]) + 1):
    c.cancel(of, rung=number, wait_ms=300)
print('done', flush=True); time.sleep(1000)
"""


@pytest.mark.parametrize("reached", [1, 2, 3])
def test_row_2_a_client_dies_at_a_rung(server, clients, child, reached):
    owner = clients()
    answer = stubborn(owner, child)
    climber = subprocess.Popen(
        [sys.executable, "-c", CLIMBER, os.path.dirname(__file__), server.url,
         str(answer.process_id), str(reached)], stdout=subprocess.PIPE)
    assert climber.stdout.readline() == b"done\n"
    begin = time.monotonic()
    climber.kill()
    climber.wait()
    climber.stdout.close()
    record = owner.await_exit(answer)
    assert time.monotonic() - begin < 0.3 * (3 - reached) + 0.5
    assert (record.rung, record.signal) == (3, 9)
    assert [e.climber == pb.CLIMBER_CLIENT for e in record.journal] == [n <= reached for n in (1, 2, 3)]
    assert all(gap >= 300 for gap in gaps(record)[reached - 1:])


def test_row_3_a_client_is_stopped_while_it_waits(server, clients, child):
    owner = clients()
    script = ("import sys; sys.path.insert(0, sys.argv[1]); from plain_client import *\n"
              "c = Client(sys.argv[2], lease_ms=1000)\n"
              "a = c.spawn(sys.argv[3], 'pause'); print(a.process_id, flush=True)\n"
              "print(c.await_exit(a).signal, flush=True)")
    waiter = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(__file__), server.url,
                               child], stdout=subprocess.PIPE)
    process_id = int(waiter.stdout.readline())
    waiter.send_signal(signal.SIGSTOP)
    assert not owner.poll(process_id, hold_ms=3000).done  # three leases: the session is still held
    owner.cancel(process_id, rung=LAST)
    assert owner.await_exit(process_id).cause == pb.EXIT_CAUSE_CANCEL
    waiter.send_signal(signal.SIGCONT)
    assert waiter.stdout.readline() == b"9\n"
    waiter.wait()
    waiter.stdout.close()


def test_row_5_6_doubled_and_reordered_requests(server, client, child):
    payload = pb.SpawnRequest(argv=[child.encode(), b"pause"]).SerializeToString()
    with Connection(server.url) as one, Connection(server.url) as two:
        ids = [client.new_id() for _ in range(20)]
        calls = [client.start("Spawn", payload, request_id=i, connection=one) for i in ids]
        calls += [client.start("Spawn", payload, request_id=i, connection=two) for i in reversed(ids)]
        answers = [client.result(call).process_id for call in calls]
    assert answers[:20] == list(reversed(answers[20:])) and len(set(answers)) == 20
    assert client.info().counters.processes == 20


def test_row_7_replay_of_an_old_session(fresh_server, true):
    client = Client(fresh_server.url)
    recorded = [pb.Request(method="/spawn.v1.SpawnService/Spawn", session_id=client.session_id,
                           request_id=i, floor=1, payload=pb.SpawnRequest(argv=[true.encode()])
                           .SerializeToString()).SerializeToString() for i in range(2, 12)]

    def play(connection):
        return [pb.Response.FromString(connection.answer(connection.send(body))).status
                for body in recorded]

    assert all(status.code == pb.CODE_OK for status in play(client.connection))
    started = client.info().counters.started
    client.call("KeepAlive", _floor=12)
    assert all(status.code == pb.CODE_OUT_OF_RANGE for status in play(client.connection))
    client.close_session()
    assert all(status.HasField("session_expired") for status in play(client.connection))
    assert Client(fresh_server.url).info().counters.started == started
    assert fresh_server.end() == 0
    again = Server(listen=fresh_server.url)
    try:
        again.wait_ready()
        with Connection(again.url) as connection:
            assert all(status.HasField("epoch_changed") for status in play(connection))
        assert Client(again.url).info().counters.started == 0
        assert again.end() == 0
    finally:
        again.discard()


def with_descriptor_limit(pid, limit, act):
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        return act()
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_row_24_the_root_is_out_of_descriptors(server, client, true):
    client.spawn(true, hold_ms=1000)
    before = server.descriptors()

    def starved():
        for kind in ("pipe", None):
            with pytest.raises(Refused) as refused:
                client.spawn(true, stdin=kind, stdout=kind, stderr=kind)
            yield refused.value

    highest = max(map(int, os.listdir(f"/proc/{server.root}/fd")))
    for limit in {3, highest + 1}:
        refusals = with_descriptor_limit(server.root, limit, lambda: list(starved()))
        for refused in refusals:
            assert refused.code == "RESOURCE_EXHAUSTED" or (
                refused.detail == "start_failed" and refused.value.errno_code == 24), refused
    assert client.spawn(true, hold_ms=1000).exit.code == 0
    server.check_descriptors(before)
    assert client.info().counters.processes == 0


def test_row_23_the_broker_is_out_of_descriptors(server, client, child):
    def starved():
        connections = []
        for _ in range(60):
            try:
                connections.append(Connection(server.url, handshake=False))
            except OSError:
                break
        begin, used = time.monotonic(), processor_ms(server.broker)
        while time.monotonic() < begin + 1:
            assert client.call("KeepAlive").lease_ms  # who is there is served
            time.sleep(0.05)
        assert processor_ms(server.broker) - used < 250
        for connection in connections:
            connection.close()

    with_descriptor_limit(server.broker, 40, starved)
    wait_for(lambda: can_connect(server), "new clients are served again", timeout=5)


def processor_ms(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def can_connect(server):
    try:
        with Connection(server.url, handshake=False) as connection:
            connection.socket.settimeout(0.5)
            connection.write(bytes.fromhex("0053500000300000"))
            connection.read(8)
            return True
    except OSError:
        return False


def test_row_31_the_log_cannot_be_written(true):
    server = Server(stderr="/dev/full")
    try:
        client = Client(server.wait_ready().url)
        for _ in range(50):
            assert client.spawn(true, hold_ms=1000).exit.code == 0
            with pytest.raises(Refused):
                client.spawn("/nonexistent")
        client.close_connection()
        assert server.end() == 0
    finally:
        server.discard()


def test_row_40_a_flood_of_cancels(client, child):
    answer = stubborn(client, child)
    target, calls = pb.Target(process_id=answer.process_id), []
    begin = time.monotonic()
    for _ in range(40):
        calls = [client.start("Cancel", target=target, rung=1, wait_ms=300, delegate=True)
                 for _ in range(100)]
        assert all(client.result(call).rung_reached >= 1 for call in calls)
        client.floor = client.next_id + 1
    record = client.await_exit(answer)
    assert time.monotonic() - begin < 10
    assert [(e.rung, e.skipped) for e in record.journal] == [(1, False), (2, False), (3, False)]
    assert gaps(record)[0] < 300 + 2000 + 400


def test_row_43_conflicting_ladders_the_earlier_deadline_wins(clients, child):
    patient, strict = clients(), clients()
    answer = stubborn(patient, child)
    patient.cancel(answer, wait_ms=60_000)
    strict.cancel(answer, wait_ms=100, delegate=True)
    patient.cancel(answer, wait_ms=60_000)
    record = patient.await_exit(answer)
    assert 100 <= gaps(record)[0] < 100 + 2000 + 400 and record.journal[0].wait_ms == 100


@pytest.mark.parametrize("who, stopped_s", [("root", 1.2), ("broker", 1.2), ("guard", 1.2)])
def test_row_45_a_stall_skips_no_grace(server, client, child, who, stopped_s):
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=300, delegate=True)
    os.kill(getattr(server, who), signal.SIGSTOP)
    time.sleep(stopped_s)  # longer than all waits of the ladder
    os.kill(getattr(server, who), signal.SIGCONT)
    record = client.await_exit(answer)
    assert all(gap >= 300 for gap in gaps(record)), record.journal
    assert [e.skipped for e in record.journal] == [False] * 3


def test_row_46_a_child_stopped_before_its_cancel(client, child):
    answer = client.spawn(child, "quit:2", "ready", "pause", stdout="pipe", ladder=SHORT)
    client.read_until(answer, b"ready")
    os.kill(answer.pid, signal.SIGSTOP)
    client.cancel(answer, wait_ms=5000)
    assert client.await_exit(answer).rung == 1


def test_row_47_a_child_that_stops_itself(client, child):
    answer = client.spawn(child, "quit:15", "ready", f"kill:{int(signal.SIGSTOP)}", "pause",
                          stdout="pipe", ladder=[rung(15, "TREE", 5000)])
    client.read_until(answer, b"ready")
    state = f"/proc/{answer.pid}/stat"
    wait_for(lambda: open(state).read().rsplit(")", 1)[1].split()[0] == "T", "it is stopped")
    assert not client.poll(answer, hold_ms=100).done
    client.cancel(answer, wait_ms=5000)
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.rung) == (pb.EXIT_KIND_EXITED, 15, 1)


def test_row_49_traced_by_a_stranger(server, client, child):
    answer = client.spawn(child, "ready", "pause", stdout="pipe", ladder=[rung(9, "TREE", 300)])
    client.read_until(answer, b"ready")
    if libc.ptrace(PTRACE_SEIZE, answer.pid, 0, 0):
        pytest.skip(f"cannot trace here: {os.strerror(ctypes.get_errno())}")
    try:
        client.cancel(answer, wait_ms=300)
        wait_for(lambda: client.poll(answer).blocked, "it is blocked", timeout=5)
        waited = client.poll(answer)
        assert not waited.done and waited.blocked == pb.BLOCKED_TRACED
        assert client.find(answer).blocked == pb.BLOCKED_TRACED
        used = processor_ms(server.root)
        assert not client.poll(answer, hold_ms=1000).done
        assert processor_ms(server.root) - used < 100  # it does not spin
    finally:
        assert os.waitpid(answer.pid, WALL)[0] == answer.pid  # the tracer lets go
    record = client.await_exit(answer, timeout=5)
    assert (record.kind, record.signal, record.cause) == (
        pb.EXIT_KIND_SIGNALED, 9, pb.EXIT_CAUSE_CANCEL)


def test_row_52_the_leader_obeys_and_a_grandchild_lives(server, client, child):
    answer = client.spawn(child, "ignore:15", "daemon", "pause", "--", "quit:15", "ready", "pause",
                          stdout="pipe", ladder=[rung(15, "TREE", 300)])
    client.read_until(answer, b"ready")
    client.cancel(answer, wait_ms=300, delegate=True)
    assert client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT).code == 15
    record = client.await_exit(answer)
    assert (record.code, record.rung) == (15, 1) and record.journal[-1].rung == 2
    assert record.tree_empty_ms - record.leader_exit_ms >= 250
    assert len(descendants(server.pid)) == 2


def test_row_53_adopted_orphans_are_reaped_and_no_processes_of_their_own(server, client, child):
    answer = client.spawn(child, "daemon", "sleep:50", "--", "daemon", "sleep:100", "--", "exit:0",
                          on_leader_exit=pb.ON_LEADER_EXIT_KEEP)
    assert client.await_exit(answer).code == 0
    assert len(client.mine()) == 1 and len(descendants(server.pid)) == 2


@pytest.fixture
def pids_cgroup():
    """A cgroup that holds at most 3,000 processes, so that a bomb takes none from the machine."""
    folder = pathlib.Path(f"/sys/fs/cgroup/pids/spawnd-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "pids.max").write_text("3000")
    except OSError as error:
        pytest.skip(f"no pids cgroup can be made here: {error}")
    yield folder
    wait_for(lambda: not (folder / "cgroup.procs").read_text(), "the cgroup is empty")
    folder.rmdir()


def test_row_55_a_fork_bomb(server, client, clients, child, true, pids_cgroup):
    if not client.opened.capabilities.realtime_kill:
        pytest.skip("the server may not raise its priority here: a stated limit")
    enter = f"echo $$ > {pids_cgroup}/cgroup.procs && exec {child} ignore:2 ignore:15 ready bomb:300 pause"
    answer = client.spawn("/bin/sh", "-c", enter, stdout="pipe", ladder=[rung(2, "LEADER", 200)])
    client.read_until(answer, b"ready")
    time.sleep(0.3)  # let it spread; nothing waits for this
    begin = time.monotonic()
    client.cancel(answer, rung=LAST)
    record = client.await_exit(answer)
    took = time.monotonic() - begin
    print(f"the bomb was gone after {took:.2f} s")
    assert record.tree_empty and took < 3
    wait_for(lambda: len(descendants(server.pid)) == 2, "nothing is left")
    assert client.spawn(true, hold_ms=1000).exit.code == 0


def test_row_56_a_member_holds_the_leaders_output(client, child):
    answer = client.spawn(child, "daemon", "sleep:400", "--", "exit:3", stdout="pipe",
                          on_leader_exit=pb.ON_LEADER_EXIT_KEEP)
    begin = time.monotonic()
    assert client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT).code == 3
    assert time.monotonic() - begin < 0.3
    assert client.await_exit(answer).tree_empty
    assert client.read(answer, hold_ms=1000).eof == pb.EOF_CLOSED


def test_row_60_floods_do_not_slow_the_others(client, clients, child, true):
    other = clients()

    def median_ms():
        times = []
        for _ in range(100):
            begin = time.monotonic()
            other.spawn(true, hold_ms=1000)
            times.append(time.monotonic() - begin)
        return sorted(times)[50] * 1000

    quiet = median_ms()
    floods = [client.spawn("/bin/sh", "-c", f"exec {command}", stdout="pipe")
              for command in ("cat /dev/zero", "yes", "dd if=/dev/zero bs=1 2>/dev/null")]
    busy = median_ms()
    for flood in floods:
        client.cancel(flood, rung=LAST)
        assert client.await_exit(flood).signal == 9
    # Two processors, three writers: what is left of them is shared fairly, not what is asked of the server.
    assert busy < 2 * quiet + 20, (quiet, busy)


def test_row_63_signals_and_closed_peers_do_not_end_the_server(server, client, true):
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH):
        for pid in (server.guard, server.root, server.broker):
            os.kill(pid, number)
    for _ in range(20):
        with Connection(server.url) as connection:
            client.start("GetServerInfo", connection=connection)
    assert client.spawn(true, hold_ms=1000).exit.code == 0


def test_row_64_a_child_signals_its_own_group_and_session(server, client):
    answer = client.spawn("/bin/sh", "-c", "trap '' TERM; kill -TERM 0; kill -KILL 0")
    record = client.await_exit(answer)
    assert (record.signal, record.cause) == (9, pb.EXIT_CAUSE_OUTSIDE_SIGNAL)
    assert server.process.poll() is None


def test_row_69_nothing_of_the_server_remains_in_a_child(client):
    answer = client.spawn("/bin/cat", "/proc/self/status", stdout="pipe")
    status = dict(line.split(":\t", 1) for line in client.read_all(answer)[0].decode().splitlines()
                  if ":\t" in line)
    own = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines()
               if ":\t" in line)
    for name in ("Uid", "Gid", "Groups"):
        assert status[name].split() == own[name].split()
    assert status["CapAmb"] == "0" * 16 and status["TracerPid"] == "0"


def test_row_74_a_cancel_notice_that_nobody_hears(client, child):
    notice = pb.Rung(action=pb.ACTION_CANCEL_NOTICE, scope=pb.SCOPE_LEADER, wait_ms=200)
    for verbs in (["ready", "pause"], ["ready", "close", "pause"]):
        answer = client.spawn(child, *verbs, stdout="pipe", ladder=[notice, rung(15, "TREE", 5000)])
        client.read_until(answer, b"ready")
        client.cancel(answer, wait_ms=200, delegate=True)
        record = client.await_exit(answer)
        assert (record.signal, record.rung) == (15, 2)
        assert 200 <= gaps(record)[0] < 600
