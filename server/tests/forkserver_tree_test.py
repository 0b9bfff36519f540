"""The forkserver alone: acts, members, proofs, and the end of the server."""
import ctypes
import errno
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from conftest import descendants, wait_for
from forkserver_link import (CHILD, INT, KILL, KILLED, PIPE, STOP, STUBBORN, SUBREAPER, TERM, TRUE,
                             UNPROVED, USR1, check_gone, child, cpu_ticks, fds, forest, members,
                             ready, refused, rss_kib, stdio)
from forkserver_link import root, roots  # noqa: F401, fixtures

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, WALL = 0x4206, 0x40000000


# --- acts ----------------------------------------------------------------------------------------

def test_an_escaped_grandchild_is_found_and_killed(root):
    process, _ = root.spawn(STUBBORN)
    members(root, process, 2)
    for rung, number in ((1, INT), (2, TERM)):
        acted = root.acted(process, rung=rung, signal=number, scope="TREE")
        assert (acted.error, acted.hit, acted.n_alive) == (0, 2, 2)
    assert {m.comm for m in acted.members} == {b"test-child"}
    acted = root.acted(process, rung=3, signal=KILL, scope="TREE")
    assert (acted.hit, acted.rung) == (2, 3)
    leader, empty = root.ended(process)
    assert (leader.code_kind, leader.status, empty.proof) == (KILLED, KILL, SUBREAPER)


def test_members_that_outlive_the_leader(root):
    process, started = root.spawn(
        [CHILD, "fork", "pause", "--", "daemon", "say:ready", "pause", "--", "sleep:200",
         "exit:3"], io=[stdio(), stdio(PIPE)])
    ready(root, process, started)
    assert root.expect("LEADER_EXITED", process_id=process).status == 3
    assert root.expect("TREE_LEFT", process_id=process).n_alive == 2
    assert not root.has("TREE_EMPTY", process_id=process)
    assert root.acted(process, rung=1, signal=TERM, scope="LEADER").error == errno.ESRCH
    assert root.acted(process, rung=2, signal=TERM, scope="GROUP").hit == 1
    members(root, process, 1)
    assert root.acted(process, rung=3, signal=TERM, scope="TREE").hit == 1
    assert root.expect("TREE_EMPTY", process_id=process).proof == SUBREAPER


def test_zombies_do_not_count_as_left(root):
    """A leader that never waits for its ended children leaves nobody."""
    process, _ = root.spawn(["/bin/sh", "-c", "(exit 0)& (exit 0)& exec sleep 0.2"])
    root.ended(process)
    assert not root.has("TREE_LEFT", process_id=process)


def test_group_scope(root):
    process, _ = child(root, "fork", "pause", "--", "daemon", "say:ready", "pause", "--", "pause")
    members(root, process, 3)
    acted = root.acted(process, rung=1, signal=TERM, scope="GROUP")
    assert (acted.hit, acted.n_alive) == (2, 3)
    root.expect("LEADER_EXITED", process_id=process)
    root.expect("TREE_LEFT", process_id=process)
    members(root, process, 1)
    root.act(process, rung=2, signal=KILL, scope="TREE")
    root.expect("TREE_EMPTY", process_id=process)


def test_leader_scope_and_each_member_once(root):
    process, started = child(root, "report:10", "fork", "pause", "--", "ready", "pause")
    members(root, process, 2)
    assert root.acted(process, rung=1, signal=USR1, scope="LEADER").hit == 1
    said = b"ready\nsignal 10\n"
    wait_for(lambda: root.state(process, now=1).head == len(said), "one report")
    assert root.acted(process, rung=2, signal=USR1, scope="TREE").hit == 2
    said += b"signal 10\n" * 2
    wait_for(lambda: root.state(process, now=1).head == len(said), "two more")
    root.act(process, rung=3, signal=KILL, scope="TREE")
    root.ended(process)
    assert root.output(process, started)[0] == said


def test_rungs_only_go_up_and_plain_signals_are_none(root):
    process, _ = child(root, "ignore:15", "ready", "pause")
    assert root.acted(process, rung=2, signal=TERM, keepsake=b"new").error == 0
    assert root.acted(process, rung=2, signal=KILL).error == errno.EALREADY
    assert root.acted(process, rung=1, signal=KILL).error == errno.EALREADY
    assert root.acted(process, rung=0, signal=TERM).error == 0
    assert root.acted(process, rung=3, signal=KILL).error == 0
    root.ended(process)
    assert root.acted(process, rung=4, signal=KILL).error == errno.ESRCH
    assert root.acted(12345, rung=1, signal=KILL).error == errno.ESRCH


def test_a_stopped_process_can_act_on_a_rung(root):
    process, _ = child(root, "ready", "pause")
    assert root.acted(process, rung=0, signal=STOP).hit == 1
    wait_for(lambda: root.look(process).members[0].state == "T", "it is stopped")
    assert root.acted(process, rung=1, signal=TERM).hit == 1
    assert root.ended(process)[0].status == TERM


def test_cancel_notice(root):
    script = "ls /proc/$$/fd | tr '\\n' ' '; cat <&3; echo told"
    process, started = root.spawn(["/bin/sh", "-c", script], io=[stdio(), stdio(PIPE)],
                                  cancel_notice=1)
    ready(root, process, started, "0 1 2 3")
    act = {"action": "CANCEL_NOTICE"}
    assert root.acted(process, rung=1, **act).hit == 1
    root.ended(process)
    assert root.output(process, started)[0].endswith(b"told\n")
    plain, _ = root.spawn([CHILD, "pause"])
    assert root.acted(plain, rung=1, **act).error == errno.EINVAL
    root.act(plain, rung=2, signal=KILL)
    root.ended(plain)


def test_close_stdin_rung(root):
    process, _ = root.spawn(["/bin/cat"], io=[stdio(PIPE)])
    assert root.acted(process, rung=1, action="CLOSE_STDIN").hit == 1
    assert root.expect("STDIN_STATE", process_id=process).closed == 1
    assert root.ended(process)[0].status == 0


def test_a_fork_bomb_is_ended(root):
    """Chains of processes that fork, leave their session and end, without a pause."""
    process, _ = root.spawn([CHILD, "bomb:100"])
    wait_for(lambda: root.look(process).n_alive >= 20, "it grows")
    begun = time.monotonic()
    root.act(process, rung=1, signal=KILL, scope="TREE")
    root.expect("LEADER_EXITED", process_id=process)
    empty = root.expect("TREE_EMPTY", process_id=process, timeout=30)
    print(f"bomb ended in {time.monotonic() - begun:.3f} s")
    assert empty.proof == SUBREAPER


def test_many_stubborn_trees_end_together(root):
    trees = forest(root, 100)
    begun = time.monotonic()
    for process in trees:
        root.act(process, rung=1, signal=KILL, scope="TREE")
    for process in trees:
        assert root.ended(process)[1].proof == SUBREAPER
    print(f"200 processes of 100 trees ended in {time.monotonic() - begun:.3f} s")
    assert time.monotonic() - begun < 5


def test_a_process_that_a_tracer_holds(root):
    """A dead leader that cannot be reaped yet: no spin, and the exact status once it can."""
    process, started = child(root, "ready", "pause")
    if libc.ptrace(PTRACE_SEIZE, started.pid, None, None) != 0:
        pytest.skip("may not trace here")
    root.act(process, rung=1, signal=KILL, scope="TREE")
    root.expect("ACTED", process_id=process)
    status = pathlib.Path(f"/proc/{started.pid}/status")
    wait_for(lambda: "State:\tZ" in status.read_text(), "it is dead")
    before = cpu_ticks(root.hello.root_pid)
    time.sleep(1)  # what is measured is a span of time
    assert cpu_ticks(root.hello.root_pid) - before < 20, "it spins"
    assert not root.has("LEADER_EXITED", process_id=process)
    os.waitpid(started.pid, WALL)
    leader, _ = root.ended(process)
    assert (leader.code_kind, leader.status) == (KILLED, KILL)


def test_an_orphan_of_unknown_origin_spoils_proofs(root):
    """A member that lowers its limit cannot be told from a stranger once it is an orphan."""
    other, _ = root.spawn([CHILD, "pause"])
    script = ("import os, resource, time\n"
              "if os.fork(): os._exit(0)\n"
              "os.setsid()\n"
              "resource.setrlimit(10, (5, 5))\n"
              "if os.fork(): os._exit(0)\n"
              "os.write(1, b'ready\\n')\n"
              "time.sleep(1000)")
    process, started = root.spawn(["/usr/bin/python3", "-c", script], io=[stdio(), stdio(PIPE)])
    ready(root, process, started)
    root.expect("LEADER_EXITED", process_id=process)
    root.expect("TREE_EMPTY", process_id=process)
    root.act(other, rung=1, signal=KILL, scope="TREE")
    assert root.ended(other)[1].proof == UNPROVED
    later, _ = root.spawn([TRUE])
    assert root.ended(later)[1].proof == SUBREAPER, "it began after the stranger came"


# --- bounds --------------------------------------------------------------------------------------

def test_thousands_of_spawns_leave_nothing(root):
    guard, main, _ = root.pids

    def spawn_many(n):
        for _ in range(n // 50):
            batch = [root.start([TRUE], io=[stdio(PIPE)] * 3) for _ in range(50)]
            for process in batch:
                root.expect("STARTED", process_id=process)
                leader, empty = root.ended(process)
                assert (leader.status, empty.proof) == (0, SUBREAPER)
                root.drop(process)
            with root.changed:
                root.arrived = [m for m in root.arrived if m.kind != "STDIN_STATE"]
    spawn_many(500)
    before = fds(main), rss_kib(main), fds(guard), rss_kib(guard)
    begun = time.monotonic()
    spawn_many(2000)
    print(f"{2000 / (time.monotonic() - begun):.0f} spawns/s with three pipes each")
    wait_for(lambda: fds(main) == before[0], "the root's descriptors are as before")
    assert rss_kib(main) <= before[1] + 512, "the root's memory"
    assert (fds(guard), rss_kib(guard)) == before[2:]
    assert set(descendants(main)) == {root.broker_pid}


def test_exits_beside_many_living(root):
    """One exit must not cost a walk over all children each time."""
    alive = [root.start([CHILD, "pause"]) for _ in range(1000)]
    for process in alive:
        root.expect("STARTED", process_id=process)
    times = []
    for _ in range(200):
        begun = time.monotonic()
        root.ended(root.spawn([TRUE])[0])
        times.append(time.monotonic() - begun)
    print(f"beside 1,000: median {sorted(times)[100] * 1e6:.0f} us")
    assert sorted(times)[100] < 0.05
    for process in alive:
        root.act(process, rung=1, signal=TERM, scope="TREE")
    for process in alive:
        assert root.ended(process)[1].proof == SUBREAPER


def test_a_broker_that_reads_nothing_for_a_while_misses_nothing(root):
    root.may_read.clear()
    batch = [root.start([TRUE], io=[stdio(), stdio(PIPE)]) for _ in range(400)]
    for process in batch[:100]:
        root.act(process, rung=1, signal=TERM)
    time.sleep(0.5)
    root.may_read.set()
    for process in batch[:100]:
        root.expect("ACTED", process_id=process)
    for process in batch:
        root.expect("STARTED", process_id=process)
        root.ended(process)
        root.drop(process)


# --- the end -------------------------------------------------------------------------------------

@pytest.mark.parametrize("victim", ["guard", "root", "broker"])
def test_whoever_is_killed_nothing_is_left(roots, victim):
    root = roots(stderr=subprocess.DEVNULL)
    forest(root)
    pids = dict(zip(("guard", "root", "broker"), root.pids))
    begun = time.monotonic()
    os.kill(pids[victim], signal.SIGKILL)
    status = root.leave()
    check_gone(timeout=3)
    print(f"{victim} killed: all gone after {time.monotonic() - begun:.3f} s")
    assert status == {"guard": -KILL, "root": -KILL, "broker": 1}[victim]


def test_a_lost_broker_ends_the_server_in_order(roots):
    root = roots({"stop_term_wait_ms": 20000}, stderr=subprocess.DEVNULL)
    child(root, "quit:15", "ready", "pause")
    process, started = root.spawn(
        ["/bin/sh", "-c", "trap 'sleep 0.3; exit 0' TERM; echo ready; while :; do sleep 0.1; done"],
        io=[stdio(), stdio(PIPE)])
    ready(root, process, started)
    begun = time.monotonic()
    os.kill(root.broker_pid, signal.SIGKILL)
    assert root.leave() == 1
    assert 0.2 < time.monotonic() - begun < 10, "TERM has its time, and no more"


def test_a_broker_that_does_not_answer_is_ended(roots):
    root = roots(stderr=subprocess.DEVNULL)
    root.answer_pings = False
    begun = time.monotonic()
    assert root.leave() == 1
    assert root.pings >= 4 and 1.5 < time.monotonic() - begun < 8


def test_a_broker_that_does_not_read_is_ended(roots):
    root = roots(stderr=subprocess.DEVNULL)
    root.may_read.clear()
    for _ in range(700):
        root.start([TRUE])
    assert root.process.wait(20) == 1
    root.may_read.set()


def test_a_stopped_server_does_not_blame_its_broker(root):
    for pid in root.pids[:2]:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    for pid in root.pids[:2]:
        os.kill(pid, signal.SIGCONT)
    pings = root.pings
    wait_for(lambda: root.pings > pings + 3, "pings go on")
    root.ended(root.spawn([TRUE])[0])


def test_shutdown_counts_requests(roots):
    root = roots(stderr=subprocess.DEVNULL)
    forest(root, 3)
    os.kill(root.process.pid, signal.SIGTERM)
    assert root.expect("SHUTDOWN").count == 1
    assert refused(root, [TRUE]) == errno.EAGAIN
    os.kill(root.process.pid, signal.SIGINT)
    assert root.expect("SHUTDOWN").count == 2
    root.send("STOPPED")
    assert root.leave() == 0
    check_gone()


def test_one_request_by_two_ways_counts_once(roots):
    """A service manager signals every process of the service."""
    root = roots(stderr=subprocess.DEVNULL)
    for pid in root.pids[:2]:
        os.kill(pid, signal.SIGTERM)
    assert root.expect("SHUTDOWN").count == 1
    pings = root.pings
    wait_for(lambda: root.pings > pings + 1, "a while goes by")
    assert not root.has("SHUTDOWN")
    root.send("STOPPED")
    assert root.leave() == 0


def test_readiness(roots, tmp_path, monkeypatch):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    root = roots(stderr=subprocess.DEVNULL)
    root.send("READY", b"ipc:///x".ljust(256, b"\0"))
    assert os.read(root.process.stdout.fileno(), 100) == b"spawnd ready ipc:///x\n"
    assert manager.recv(100) == b"READY=1\n"
    assert b"NOTIFY_SOCKET" not in pathlib.Path(f"/proc/{root.broker_pid}/environ").read_bytes()
    os.kill(root.process.pid, signal.SIGTERM)
    assert manager.recv(100) == b"STOPPING=1\n"
    root.send("STOPPED")
    assert root.leave() == 0
    manager.close()


def test_a_full_standard_error_blocks_nothing(roots, tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    root = roots({"start_timeout_ms": 20}, stderr=writing)
    os.close(writing)
    os.mkfifo(tmp_path / "fifo")
    for _ in range(20):  # each writes a line to the log
        process = root.start([TRUE], io=[stdio(2, tmp_path / "fifo")])
        root.expect("START_FAILED", process_id=process)
    root.ended(root.spawn([CHILD, "exit:0"])[0])
    assert root.stop() == 0
    os.close(reading)


# --- a server in a server ------------------------------------------------------------------------

def test_a_contained_server_is_ended_with_its_tree(roots):
    """What an inner server's members leave behind belongs to the outer server's tree, even when all
    of the inner server is killed at once."""
    outer = roots()
    spawned = []

    def launcher(command, env):
        spawned.append(outer.start(command, env=[f"{k}={v}" for k, v in env.items()]))
    inner = roots(launcher=launcher)
    process = spawned[0]
    outer.expect("STARTED", process_id=process)
    sleeper, _ = inner.spawn(STUBBORN)
    plain, _ = inner.spawn([TRUE])
    assert inner.ended(plain)[1].proof == SUBREAPER
    members(inner, sleeper, 2)
    members(outer, process, 5)  # guard, root, broker and the two
    for pid in inner.pids:
        os.kill(pid, signal.SIGKILL)
    leader = outer.expect("LEADER_EXITED", process_id=process)
    assert (leader.code_kind, leader.status) == (KILLED, KILL)
    outer.act(process, rung=1, signal=KILL, scope="TREE")
    assert outer.expect("TREE_EMPTY", process_id=process).proof == SUBREAPER
    assert outer.stop() == 0
