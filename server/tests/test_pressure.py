"""What happens where something is full, or two unlikely things meet."""
import os
import signal

import pytest
from conftest import descendants, run_server, wait_for
from plain_client import LAST, Client, Refused, pb, rung, target

STARTS_AT_ONCE = 128  # more than the root runs side by side
WAITING = 600  # more than the root keeps rungs of


@pytest.fixture
def server_with(request):
    """A server of this test's own, with arguments."""
    yield from run_server(*request.param)


@pytest.fixture
def hung_starts(tmp_path):
    """Standard input that hangs the start: a pipe with a name that nobody writes to."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return dict(stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=os.fsencode(path)))


def test_srv_8_rungs_that_wait_for_starts_are_never_lost(fresh_server, child, hung_starts):
    client = Client(fresh_server.url)
    hung = [client.start("Spawn", argv=[b"/bin/true"], **hung_starts)
            for _ in range(STARTS_AT_ONCE)]
    waiting = [client.start_spawn(child, "pause") for _ in range(WAITING)]
    wait_for(lambda: client.info().counters.processes == STARTS_AT_ONCE + WAITING, "all are known")
    cancels = [client.start("Cancel", target=target(client.key(request_id)), rung=LAST,
                            wait_ms=2000) for _, _, _, request_id in waiting]
    wait_for(lambda: sum(one.rung_reached == 3 for one in client.mine()) == WAITING, "all climb")
    writer = os.open(hung_starts["stdin"].path, os.O_WRONLY)  # the starts go on
    for call in cancels:
        assert client.result(call).rung_reached == 3
    for call in waiting:
        record = client.await_exit(client.result(call), timeout=5)
        assert record.signal == signal.SIGKILL and record.cause == pb.EXIT_CAUSE_CANCEL
        assert [entry.rung for entry in record.journal if not entry.skipped] == [3]
    for call in hung:
        client.result(call)
    os.close(writer)
    client.close_session()
    client.close_connection()


def test_sig_1_a_signal_that_finds_no_room_says_so(fresh_server, child, hung_starts):
    client = Client(fresh_server.url)
    for _ in range(STARTS_AT_ONCE):
        client.start("Spawn", argv=[b"/bin/true"], **hung_starts)
    spawn = client.start_spawn(child, "pause")
    wait_for(lambda: client.info().counters.processes == STARTS_AT_ONCE + 1, "all are known")
    signals = [client.start("Signal", target=target(client.key(spawn[3])), signal=signal.SIGCONT,
                            scope=pb.SCOPE_TREE) for _ in range(WAITING)]
    last = client.finish(signals.pop())  # at once: the root holds fewer than came before it
    assert last[0].status.code == pb.CODE_RESOURCE_EXHAUSTED
    writer = os.open(hung_starts["stdin"].path, os.O_WRONLY)
    answers = [client.finish(call) for call in signals]
    assert {response.status.code for response, _ in answers} == {
        pb.CODE_OK, pb.CODE_RESOURCE_EXHAUSTED}
    assert {payload.hit for _, payload in answers if payload} == {1}
    os.close(writer)
    client.close_session()
    client.close_connection()


def test_shd_2_a_spawn_that_is_held_and_repeated_is_answered_twice_at_the_end(fresh_server, child):
    client = Client(fresh_server.url)
    argv = [os.fsencode(word) for word in (child, "pause")]
    fields = dict(argv=argv, hold_ms=1000, ladder=[rung(9, "TREE", 0)], request_id=1)
    calls = [client.start("Spawn", **fields) for _ in range(8)]
    wait_for(lambda: len(descendants(fresh_server.root)) >= 2, "the process runs")
    fresh_server.process.send_signal(signal.SIGTERM)
    answers = {client.result(call).SerializeToString() for call in calls}
    assert len(answers) == 1
    assert fresh_server.wait() == 0, fresh_server.log()


@pytest.mark.parametrize("server_with", [["--retention-records", "0"]], indirect=True)
def test_ext_10_no_record_is_kept_where_none_may_be(server_with, child):
    first, second = Client(server_with.url), Client(server_with.url)
    kept = first.spawn(child, "pause", on_owner_lost=pb.ON_OWNER_LOST_KEEP)
    parked = [second.start("AwaitExit", target=target(kept), hold_ms=20000) for _ in range(4)]
    first.close_session()
    second.call("Cancel", target=target(kept), rung=LAST, wait_ms=2000)
    for call in parked:
        assert second.result(call).exit.signal == signal.SIGKILL
    assert second.info().counters.records == 0
    for one in (first, second):
        one.close_connection()


def test_lad_24_the_first_answer_written_counts_though_it_repeats_a_lost_one(
        fresh_server, child, hung_starts):
    client, watcher = Client(fresh_server.url, lease_ms=60000), Client(fresh_server.url)
    client.start("Spawn", argv=[os.fsencode(child), b"pause"], request_id=1,
                 ladder=[rung(signal.SIGCONT, "LEADER", 5000)], **hung_starts)
    client.next_id = 1
    fields = dict(target=target(client.key(1)), rung=1, wait_ms=3000, request_id=2)
    wait_for(lambda: client.info().counters.processes == 1, "the Spawn is known")
    client.start("Cancel", **fields)
    wait_for(lambda: client.mine()[0].rung_reached == 1, "the Cancel is known")
    client.reconnect()  # the answers have nowhere to go
    os.close(os.open(hung_starts["stdin"].path, os.O_WRONLY))

    def next_rung_ms():
        found, = watcher.list(session_id=client.session_id)
        return min(found.next_rung_ms, 5000) if found.rung_reached else 5000

    wait_for(lambda: next_rung_ms() < 4000, "a second of the wait is over")
    client.call("Cancel", **fields)
    wait_for(lambda: next_rung_ms() > 4500, "the wait counts from the answer", timeout=0.3)
    client.close_session()
    for one in (client, watcher):
        one.close_connection()


@pytest.mark.parametrize("method, fields", [
    ("AwaitExit", dict(until=-1)), ("ListProcesses", dict(state=-1)),
    ("Spawn", dict(argv=[b"true"], on_leader_exit=-1)),
    ("Spawn", dict(argv=[b"true"], on_owner_lost=-1))])
def test_unknown_enum_values_below_0_are_refused(client, child, method, fields):
    if method == "AwaitExit":
        fields = dict(fields, target=target(client.spawn(child, "pause")))
    with pytest.raises(Refused) as refused:
        client.call(method, **fields)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_few_writes_of_one_process_wait(fresh_server, child):
    client = Client(fresh_server.url)
    answer = client.spawn(child, "pause", stdin="pipe")
    piece = bytes(262144)
    taken = client.write_stdin(answer, 0, piece, hold_ms=0).offset
    assert 0 < taken < len(piece)  # the pipe is full
    calls = [client.start("WriteStdin", target=target(answer), offset=taken, data=piece,
                          hold_ms=20000) for _ in range(1000)]
    for call in calls[100:]:  # all but a few are answered at once
        assert client.result(call, timeout=10).offset == taken
    client.cancel(answer, rung=LAST)
    client.close_session()
    client.close_connection()
