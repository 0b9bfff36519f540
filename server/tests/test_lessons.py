"""Failures that this project exists to make impossible, one test for each row L1 to L15 of its
list of lessons that needs neither cgroups nor nested sessions nor a client that stops many."""
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import SPAWND, Server, descendants, run_server, strays, wait_for
from plain_client import LAST, Client, Closed, Connection, Refused, pb, rung

SHORT = [rung(2, "LEADER", 300), rung(15, "TREE", 300), rung(9, "TREE", 2000)]
BUDGET_S = 0.6


def ready(client, *argv, **fields):
    fields.setdefault("ladder", SHORT)
    answer = client.spawn(*argv, stdout="pipe", **fields)
    client.read_until(answer, b"ready")
    return answer


def climb(client, answer):
    """As a client climbs: a rung, its wait, the next; ends with the record."""
    for number, step in enumerate(answer.ladder, 1):
        reached = client.cancel(answer, rung=number, wait_ms=step.wait_ms)
        if reached.HasField("exit"):
            return reached.exit
        waited = client.poll(answer, hold_ms=step.wait_ms)
        if waited.done:
            return waited.exit
    return client.await_exit(answer)


def test_l2_an_answer_to_a_cancel_is_no_exit(client, child):
    answer = ready(client, child, "report:2", "ignore:15", "ready", "pause")
    reached = client.cancel(answer, wait_ms=20_000)
    assert reached.rung_reached == 1 and not reached.HasField("exit")
    assert client.read_until(answer, b"signal 02")  # acknowledged by the child too
    waited = client.poll(answer, hold_ms=200)
    assert not waited.done and not waited.HasField("exit")
    assert client.find(answer).state == pb.PROCESS_STATE_CANCELLING
    client.cancel(answer, rung=LAST)
    assert client.await_exit(answer).rung == 3


LISTENER = """
import os, signal, socket, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
print("port", s.getsockname()[1], "ready", flush=True)
time.sleep(1000)
"""


def test_l3_after_a_stop_the_listening_port_is_free_at_once(client):
    answer = ready(client, sys.executable, "-c", LISTENER)
    port = int(client.read(answer).data.split()[1])
    begin = time.monotonic()
    assert climb(client, answer).rung == 3
    assert time.monotonic() - begin < BUDGET_S + 0.5
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
        again.listen()


def test_l4_grandchildren_in_sessions_of_their_own_end_with_the_tree(server, client, child):
    answer = ready(client, child, "daemon", "ignore:2", "ignore:15", "daemon", "ignore:15", "pause",
                   "--", "pause", "--", "ignore:2", "ignore:15", "ready", "pause")
    wait_for(lambda: len(descendants(server.pid)) == 5, "leader and two grandchildren are there")
    record = climb(client, answer)
    assert record.tree_empty and record.tree_proof in (pb.TREE_PROOF_SUBREAPER, pb.TREE_PROOF_CGROUP)
    assert len(descendants(server.pid)) == 2


def test_l5_a_child_has_the_declared_descriptors_only(server, client, clients):
    for _ in range(100):
        clients()  # each is a descriptor in the broker, and a session
    keep = [client.spawn("/bin/sleep", "100", stdin="pipe", stdout="pipe", stderr="pipe")
            for _ in range(20)]  # each is four in the root
    answer = client.spawn("/bin/sh", "-c", "ls -l /proc/self/fd", stdout="pipe")
    lines = client.read_all(answer)[0].decode().splitlines()[1:]
    table = {int(line.split()[8]): line.split()[10] for line in lines}
    assert set(n for n, to in table.items() if not to.endswith("/fd")) == {0, 1, 2}
    assert table[0] == table[2] == "/dev/null"
    assert len(keep) == 20


def test_l6_a_child_that_ends_before_its_spawn_is_answered(client, true):
    calls = [client.start_spawn(true) for _ in range(500)]
    for call in calls:
        record = client.await_exit(client.result(call))
        assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 0)
        client.release((client.session_id, call[3]))
    assert client.info().counters.processes == 0


def test_l7_a_gigabyte_that_nobody_reads(client, server):
    before = server.rss_kib()
    answer = client.spawn("/usr/bin/head", "-c", 1 << 30, "/dev/zero", stdout="pipe", stderr="pipe")
    assert client.await_exit(answer).code == 0
    assert all(now - then < 64 << 10 for now, then in zip(server.rss_kib(), before))
    wait_for(lambda: client.read(answer, offset=1 << 30).eof, "the stream has ended")
    piece = client.read(answer)
    assert (1 << 30) - (1 << 20) <= piece.offset < 1 << 30


def test_l7_the_servers_own_output_is_a_pipe_that_nobody_reads(true):
    reading, writing = os.pipe()
    server = Server(stderr=f"/proc/self/fd/{writing}")
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        pass
    try:
        client = Client(server.wait_ready().url)
        for _ in range(200):
            assert client.spawn(true, hold_ms=1000).exit.code == 0
            client.release(client.key(client.next_id))
            with pytest.raises(Refused):
                client.spawn("/nonexistent")
        client.close_connection()
        assert server.end() == 0
    finally:
        server.discard()
        os.close(reading)
        os.close(writing)


SLEEPER = """
import select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
select.epoll().poll()
"""


def test_l8_asleep_in_epoll_and_the_owner_is_killed(server, clients):
    watcher = clients()
    script = ("import sys; sys.path.insert(0, sys.argv[1]); from test_lessons import *\n"
              "c = Client(sys.argv[2])\n"
              "a = ready(c, sys.executable, '-c', SLEEPER, on_owner_lost=pb.ON_OWNER_LOST_CANCEL)\n"
              "print(a.process_id, flush=True); sys.stdin.read()")
    owner = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(__file__), server.url],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process_id = int(owner.stdout.readline())
    begin = time.monotonic()
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    record = watcher.await_exit(process_id)
    assert time.monotonic() - begin < BUDGET_S + 0.5
    assert (record.signal, record.rung, record.cause) == (15, 2, pb.EXIT_CAUSE_OWNER_LOST)


def exits_in_one_instant(server, client, child, count):
    """Children that all end when one of them is told to, while the client does not read."""
    reading, writing = os.pipe()
    gate = f"/proc/{os.getpid()}/fd/{reading}"
    stdin = pb.Stdio(kind=pb.STDIO_KIND_FILE, path=gate.encode())
    answers = []
    for begin in range(0, count, 500):
        calls = [client.start_spawn("/bin/sh", "-c", "read x; exit 7", stdin=stdin)
                 for _ in range(min(500, count - begin))]
        answers += [client.result(call) for call in calls]
        client.floor = client.next_id + 1
    waits = [client.start("AwaitExit", hold_ms=25_000, target=pb.Target(process_id=a.process_id))
             for a in answers]
    assert client.info().counters.processes == count
    os.close(writing)  # end of file for all of them
    other = Client(server.url)
    wait_for(lambda: other.info().counters.processes == 0, "all have ended", timeout=60)
    records = [client.result(wait).exit for wait in waits]
    assert {r.process_id for r in records} == {a.process_id for a in answers}
    assert all((r.kind, r.code) == (pb.EXIT_KIND_EXITED, 7) for r in records)
    assert len(descendants(server.pid)) == 2
    os.close(reading)
    other.close_session()


def test_l9_a_thousand_exits_in_one_instant(server, client, child):
    exits_in_one_instant(server, client, child, 1000)


@pytest.mark.parametrize("count", [25, 1000])
def test_l10_stubborn_siblings_share_one_budget(client, child, count):
    calls = [client.start_spawn(child, "ignore:2", "ignore:15", "pause", ladder=SHORT)
             for _ in range(count)]
    answers = [client.result(call) for call in calls]
    time.sleep(0.2)  # so that they have set their handlers; nothing waits for this
    begin = time.monotonic()
    calls = [client.start("Cancel", target=pb.Target(process_id=a.process_id), rung=1, wait_ms=300,
                          delegate=True) for a in answers]
    waits = [client.start("AwaitExit", hold_ms=25_000, target=pb.Target(process_id=a.process_id))
             for a in answers]
    assert all(client.result(call).rung_reached >= 1 for call in calls)
    records = [client.result(wait).exit for wait in waits]
    assert time.monotonic() - begin <= BUDGET_S + 1
    assert all(r.tree_empty for r in records)
    assert sum(r.signal == 9 and r.rung == 3 for r in records) == count


@pytest.mark.parametrize("how", [["ignore:2", "ignore:15", "ready", "busy"],
                                 ["ignore:2", "ignore:15", "ready", "sleep:100000"],
                                 ["block", "ready", "pause"]])
def test_l11_the_next_rung_comes_on_time(client, child, how):
    answer = ready(client, child, *how)
    begin = time.monotonic()
    record = climb(client, answer)
    assert BUDGET_S - 0.002 <= time.monotonic() - begin < BUDGET_S + 0.5
    assert (record.rung, record.signal) == (3, 9)


@pytest.mark.parametrize("victim", ["guard", "root", "broker"])
def test_l12_the_server_is_killed_while_100_waits_are_parked(child, victim):
    for server in run_server():
        client = Client(server.url)
        answers = [client.spawn(child, "pause") for _ in range(10)]
        for i in range(100):
            client.start("AwaitExit", hold_ms=25_000,
                         target=pb.Target(process_id=answers[i % 10].process_id))
        wait_for(lambda: client.info().counters.parked == 100, "100 calls are parked")
        begin = time.monotonic()
        os.kill(getattr(server, victim), signal.SIGKILL)
        with pytest.raises(Closed):
            client.connection.answer(client.connection.transport_id)
        assert time.monotonic() - begin < 5
        server.wait(5)
        for name in os.listdir(server.folder / "run"):
            os.unlink(server.folder / "run" / name)
        wait_for(lambda: not strays(zombies=False), "nothing is left", timeout=3)
        for pid in strays():
            os.waitpid(pid, 0)


@pytest.mark.plain
def test_l14_guard_and_root_have_one_thread_and_need_libc_only(server, client, true):
    for _ in range(50):
        client.spawn(true, hold_ms=1000)
    for pid in (server.guard, server.root):
        assert len(os.listdir(f"/proc/{pid}/task")) == 1
    mapped = {os.path.basename(line.split()[-1]).split(".")[0]
              for pid in (server.guard, server.root) for line in open(f"/proc/{pid}/maps") if ".so" in line}
    assert mapped <= {"libc", "ld-linux-x86-64", "ld-linux-aarch64"}
    needed = subprocess.run(["readelf", "-d", SPAWND], capture_output=True, text=True).stdout
    assert [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line] == [
        "libc.so.6"]


def test_l15_shuffled_exits_of_one_tree(client, child):
    seed = int(os.environ.get("SPAWND_TEST_SEED", time.time_ns() % 10**9))
    print(f"SPAWND_TEST_SEED={seed}")
    chance = random.Random(seed)
    for _ in range(10):
        answers = []
        for _ in range(14):
            verbs = ["fork", f"sleep:{chance.randrange(30)}", f"exit:{chance.randrange(1, 99)}", "--",
                     "daemon", f"sleep:{chance.randrange(30)}", "--", f"sleep:{chance.randrange(30)}",
                     "exit:7"]
            answers.append(client.spawn(child, *verbs, on_leader_exit=pb.ON_LEADER_EXIT_KEEP))
        chance.shuffle(answers)
        for answer in answers:
            if chance.random() < 0.3:
                client.cancel(answer, rung=LAST)
        records = [client.await_exit(answer) for answer in answers]
        assert all(r.tree_empty for r in records)
        assert all(r.code == 7 if r.kind == pb.EXIT_KIND_EXITED else r.signal == 9 for r in records)
        for answer in answers:
            client.release(answer)


def test_l13_a_closed_connection_stays_closed(server, client, child):
    """The server's side of it: what a closed client had parked is gone, and nothing comes back."""
    answer = client.spawn(child, "pause")
    with Connection(server.url) as connection:
        client.start("AwaitExit", connection=connection, hold_ms=25_000,
                     target=pb.Target(process_id=answer.process_id))
        wait_for(lambda: client.info().counters.parked == 1, "it is parked")
    wait_for(lambda: client.info().counters.parked == 0, "it is dropped")
    client.cancel(answer, rung=LAST)
    client.await_exit(answer)
