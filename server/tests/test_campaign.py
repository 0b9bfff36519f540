"""Eight clients at once against one server, each doing everything in random order: no wrong record,
nothing left. SPAWND_CAMPAIGN_SECONDS sets how long (8), SPAWND_CAMPAIGN_SEED repeats a run."""
import collections
import hashlib
import multiprocessing
import os
import pathlib
import random
import socket
import time
import traceback

from conftest import CHILDREN, run_server, wait_for
from plain_client import Client, Closed, Refused, pb, rung

SECONDS = float(os.environ.get("SPAWND_CAMPAIGN_SECONDS", "8"))
SEED = int(os.environ.get("SPAWND_CAMPAIGN_SEED", str(time.time_ns() % 2**32)))
CLIENTS = 8
CHILD, TRUE = str(CHILDREN / "test-child"), str(CHILDREN / "test-true")
LADDER = [rung(2, "LEADER", 100), rung(15, "TREE", 100), rung(9, "TREE", 5000)]
BLOCK = pb.Stdio(kind=pb.STDIO_KIND_PIPE, policy=pb.RING_POLICY_BLOCK, ring_bytes=65536)
SLACK_S = 1  # eight clients on two processors


def connect(url):
    """A new client; beside rude peers it may have to knock again, for 2 s at the most."""
    end = time.monotonic() + 2 + SLACK_S
    while True:
        try:
            return Client(url)
        except (Closed, OSError, TimeoutError):
            assert time.monotonic() < end, "no new client was served for 2 s"


def stubborn(client, *more, **fields):
    answer = client.spawn(CHILD, "ignore:2", "ignore:15", *more, "ready", "pause", stdout="pipe",
                          ladder=LADDER, **fields)
    client.read_until(answer, b"ready")
    return answer


def exit_code(client, chance):
    code = chance.randrange(256)
    record = client.await_exit(client.spawn(CHILD, f"exit:{code}"))
    assert (record.kind, record.code, record.cause) == (
        pb.EXIT_KIND_EXITED, code, pb.EXIT_CAUSE_ITSELF), record


def own_signal(client, chance):
    number = chance.choice([6, 9, 15])
    record = client.await_exit(client.spawn(CHILD, f"kill:{number}"))
    assert (record.kind, record.signal, record.cause) == (
        pb.EXIT_KIND_SIGNALED, number, pb.EXIT_CAUSE_OUTSIDE_SIGNAL), record


def missing_program(client, _):
    try:
        client.spawn("/no/such/program")
    except Refused as refused:
        assert (refused.value.stage, refused.value.errno_code) == (pb.START_STAGE_EXEC, 2)
    else:
        raise AssertionError("a missing program started")


def held_answer(client, chance):
    code = chance.randrange(256)
    record = client.spawn(CHILD, f"exit:{code}", hold_ms=1000).exit
    assert record.code == code and record.tree_empty


def output_whole(client, chance):
    lines = chance.randrange(1, 40000)
    answer = client.spawn("/usr/bin/seq", str(lines), stdout=BLOCK)
    got, _ = client.read_all(answer)
    wanted = "".join(f"{n}\n" for n in range(1, lines + 1)).encode()
    assert hashlib.sha256(got).digest() == hashlib.sha256(wanted).digest(), (len(got), len(wanted))
    assert client.await_exit(answer).code == 0


def stdin_back(client, chance):
    data = chance.randbytes(chance.randrange(1, 200_000))
    answer = client.spawn("/bin/cat", stdin="pipe", stdout=BLOCK)
    offset, got = 0, b""
    while offset < len(data) or len(got) < len(data):
        if offset < len(data):
            piece = data[offset:offset + 50_000]
            offset = client.write_stdin(answer, offset, piece, hold_ms=20,
                                        close=offset + len(piece) == len(data)).offset
        got += client.read(answer, offset=len(got), release=len(got), hold_ms=20).data
    assert got == data
    assert client.await_exit(answer).code == 0


def whole_ladder(client, _):
    answer = stubborn(client, "daemon", "ignore:2", "ignore:15", "pause", "--")
    for number in (1, 2, 3):
        reached = client.cancel(answer, rung=number, wait_ms=60)
        assert reached.rung_reached >= number
        if number < 3:
            assert not client.poll(answer, hold_ms=60).done
    record = client.await_exit(answer)
    assert (record.kind, record.signal, record.cause, record.rung) == (
        pb.EXIT_KIND_SIGNALED, 9, pb.EXIT_CAUSE_CANCEL, 3), record
    assert [entry.rung for entry in record.journal] == [1, 2, 3], record
    assert record.journal[1].hit == 2, record


def net_climbs(client, _):
    answer = stubborn(client)
    client.cancel(answer, rung=1, wait_ms=100, delegate=True)
    record = client.await_exit(answer)
    assert (record.signal, record.rung) == (9, 3), record
    assert [e.climber for e in record.journal] == [
        pb.CLIMBER_CLIENT, pb.CLIMBER_NET, pb.CLIMBER_NET], record


def ends_on_first_rung(client, _):
    answer = client.spawn(CHILD, "quit:2", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    client.cancel(answer, rung=1, wait_ms=30_000)
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.rung) == (pb.EXIT_KIND_EXITED, 2, 1), record


def one_id_many_times(client, chance):
    code, request_id = chance.randrange(256), client.new_id()
    payload = pb.SpawnRequest(argv=[CHILD.encode(), f"exit:{code}".encode()])
    bytes_sent = payload.SerializeToString()
    with connect(client.url).connection as other:
        calls = [client.start("Spawn", bytes_sent, request_id, connection)
                 for connection in (client.connection, other) for _ in range(5)]
        answers = {client.result(call).SerializeToString() for call in calls}
    assert len(answers) == 1
    assert client.await_exit(client.key(request_id)).code == code


def cancelled_before_it_came(client, _):
    request_id = client.new_id()
    assert client.cancel(client.key(request_id)).never_started
    try:
        client.spawn(TRUE, request_id=request_id)
    except Refused as refused:
        assert refused.code == "CANCELLED"
    else:
        raise AssertionError("a cancelled Spawn started")


def owner_vanishes(client, _):
    """A process of its own opens a session, spawns, and is gone without a word."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            owner = connect(client.url)
            answer = stubborn(owner)
            theirs.send(f"{answer.process_id}".encode())
            ours.close()
            while True:
                time.sleep(3600)
        finally:
            os._exit(1)
    theirs.close()
    process_id = int(ours.recv(64))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    record = client.await_exit(process_id)
    assert (record.signal, record.rung, record.cause) == (9, 3, pb.EXIT_CAUSE_OWNER_LOST), record
    ours.close()


def rude_peers(client, _):
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(client.url.removeprefix("ipc://"))
    assert client.info().epoch


SCENES = [exit_code, own_signal, missing_program, held_answer, output_whole, stdin_back, whole_ladder,
          net_climbs, ends_on_first_rung, one_id_many_times, cancelled_before_it_came,
          owner_vanishes, rude_peers]


def run_client(url, seed, seconds, results):
    chance, done = random.Random(seed), collections.Counter()
    scene, end = None, time.monotonic() + seconds
    try:
        client = connect(url)
        while time.monotonic() < end:
            scene = chance.choice(SCENES)
            scene(client, chance)
            client.floor = client.next_id + 1
            done[scene.__name__] += 1
        client.close_session()
        results.put((done, None))
    except BaseException:
        results.put((done, f"{scene and scene.__name__}: {traceback.format_exc()}"))


def marked(mark):
    """Processes that run the children of this test."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0", 1)[0]:
                    found.append(entry.name)
            except OSError:
                pass
    return found


def test_eight_clients_at_once():
    print(f"seed {SEED}, {SECONDS} s")
    for server in run_server():
        results = multiprocessing.Queue()
        workers = [multiprocessing.Process(target=run_client, args=(
            server.url, SEED + n, SECONDS, results)) for n in range(CLIENTS)]
        for worker in workers:
            worker.start()
        ended = [results.get(timeout=SECONDS + 120) for _ in workers]
        for worker in workers:
            worker.join()
        failures = [failure for _, failure in ended if failure]
        assert not failures, f"seed {SEED}\n" + "\n".join(failures)
        total = sum((done for done, _ in ended), collections.Counter())
        print(dict(total))
        assert set(total) == {scene.__name__ for scene in SCENES}, f"not every scene: {total}"
        watcher = connect(server.url)
        wait_for(lambda: watcher.info().counters.processes == 0, "no process lives")
        wait_for(lambda: not marked(CHILD), "no child of the test is left")
        watcher.close_connection()
