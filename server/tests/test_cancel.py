"""The ladder: rungs, joins, jumps, the net beneath. Clauses: docs/spec/06-ladder.md."""
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import descendants, wait_for
from plain_client import FOREVER, LAST, Refused, pb, rung

SHORT = [rung(2, "LEADER", 300), rung(15, "TREE", 300), rung(9, "TREE", 2000)]
LATE_MS = 400  # what a busy machine may add
TAKEOVER_MS = 2000


def stubborn(client, child, *more, **fields):
    """A process that ignores INT and TERM, ready."""
    fields.setdefault("ladder", SHORT)
    answer = client.spawn(child, "ignore:2", "ignore:15", *more, "ready", "pause", stdout="pipe",
                          **fields)
    client.read_until(answer, b"ready")
    return answer


def journal(record):
    return [(e.rung, e.skipped, e.climber) for e in record.journal]


def gaps(record):
    times = [entry.at_ms for entry in record.journal if not entry.skipped]
    return [after - before for before, after in zip(times, times[1:])]


CLIENT, NET = pb.CLIMBER_CLIENT, pb.CLIMBER_NET


def test_lad_19_the_default_ladder(client, child):
    answer = client.spawn(child, "pause")
    assert list(answer.ladder) == [rung(2, "LEADER", 5000), rung(15, "TREE", 2000),
                                   rung(9, "TREE", 2000)]
    assert answer.rung_reached == 0 and client.find(answer).ladder == answer.ladder


def test_lad_19_kill_to_tree_is_added(client, child):
    answer = client.spawn(child, "pause", ladder=[rung(1, "GROUP", 7)])
    assert list(answer.ladder) == [rung(1, "GROUP", 7), rung(9, "TREE", 2000)]
    eight = [rung(10, "LEADER", 0)] * 7
    assert len(client.spawn(child, "pause", ladder=eight).ladder) == 8
    with_kill = eight + [rung(9, "TREE", 100)]
    assert list(client.spawn(child, "pause", ladder=with_kill).ladder) == with_kill


@pytest.mark.parametrize("ladder", [
    [rung(9, "TREE", 100), rung(15, "TREE", 100)],  # KILL before the end
    [rung(9, "LEADER", 100)],  # KILL would be added after it
    [rung(15, "TREE", 100)] * 8,  # nine with the KILL that is added
    [rung(0, "TREE", 100)], [rung(65, "TREE", 100)], [rung(15, "UNSPECIFIED", 100)],
    [rung(15, "TREE", 86_400_001)], [rung(15, "TREE", FOREVER - 1)],
    [pb.Rung(action=pb.ACTION_UNSPECIFIED, signal=2, scope=pb.SCOPE_LEADER)],
    [pb.Rung(action=77, signal=2, scope=pb.SCOPE_LEADER)],
    [pb.Rung(action=pb.ACTION_SIGNAL, signal=2, scope=77)],
    [rung(0, "TREE", 100, action=pb.ACTION_CANCEL_NOTICE)],  # for the leader only
    [rung(0, "LEADER", 100, action=pb.ACTION_CLOSE_STDIN)],  # standard input is no pipe
])
def test_lad_16_invalid_ladders(client, child, ladder):
    with pytest.raises(Refused) as refused:
        client.spawn(child, "pause", ladder=ladder)
    assert refused.value.code == "INVALID_ARGUMENT" and refused.value.detail == "field"
    assert refused.value.value.path.startswith("ladder")


@pytest.mark.parametrize("fields", [
    dict(rung=0), dict(rung=4), dict(rung=254), dict(rung=256), dict(rung=2**32 - 1),
    dict(wait_ms=86_400_001), dict(wait_ms=2**31 * 2), dict(wait_ms=2**63), dict(wait_ms=FOREVER - 1)])
def test_lad_17_invalid_cancels_do_nothing(client, child, fields):
    answer = client.spawn(child, "pause")
    with pytest.raises(Refused) as refused:
        client.cancel(answer, **fields)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.value.path == next(iter(fields))
    assert not client.poll(answer, hold_ms=50).done
    assert client.find(answer).rung_reached == 0


def test_lad_20_a_client_climbs_rung_by_rung(client, child):
    answer = stubborn(client, child)
    for number in (1, 2, 3):
        reached = client.cancel(answer, rung=number, wait_ms=10_000)
        assert reached.rung_reached == number and list(reached.ladder) == SHORT
        assert reached.process_id == answer.process_id and not reached.never_started
    record = client.await_exit(answer)
    assert (record.signal, record.rung, record.cause) == (9, 3, pb.EXIT_CAUSE_CANCEL)
    assert journal(record) == [(1, False, CLIENT), (2, False, CLIENT), (3, False, CLIENT)]
    assert [(e.action, e.signal, e.scope, e.hit) for e in record.journal] == [
        (pb.ACTION_SIGNAL, 2, pb.SCOPE_LEADER, 1), (pb.ACTION_SIGNAL, 15, pb.SCOPE_TREE, 1),
        (pb.ACTION_SIGNAL, 9, pb.SCOPE_TREE, 1)]
    assert record.journal[0].left_count == 1 and record.journal[0].left[0].pid == answer.pid
    assert record.journal[0].left[0].comm == b"test-child"


def test_lad_20_repeats_and_lower_rungs_join(client, clients, child):
    answer = client.spawn(child, "report:10", "ready", "pause", stdout="pipe",
                          ladder=[rung(10, "LEADER", 300), rung(10, "TREE", 300)])
    client.read_until(answer, b"ready")
    client.cancel(answer, rung=2, wait_ms=20_000)
    other = clients()
    for _ in range(5):
        assert client.cancel(answer, rung=2, wait_ms=20_000).rung_reached == 2
        assert other.cancel(answer, rung=1, wait_ms=0).rung_reached == 2
    assert client.read_until(answer, b"signal 10\n") == b"ready\nsignal 10\n"
    assert client.read(answer, offset=16, hold_ms=50).data == b""
    client.cancel(answer, rung=LAST)
    assert journal(client.await_exit(answer)) == [
        (1, True, CLIENT), (2, False, CLIENT), (3, False, CLIENT)]


def test_lad_22_a_join_brings_the_deadline_nearer_never_further(client, clients, child):
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=20_000)
    clients().cancel(answer, wait_ms=200, delegate=True)
    client.cancel(answer, wait_ms=20_000)
    record = client.await_exit(answer)
    assert 200 <= gaps(record)[0] <= 200 + TAKEOVER_MS + LATE_MS
    assert journal(record) == [(1, False, CLIENT), (2, False, NET), (3, False, NET)]


def test_lad_23_cancelling_what_has_ended_is_success_with_the_record(client, child, true):
    answer = client.spawn(child, "exit:3")
    record = client.await_exit(answer)
    for number in (1, 2, LAST):
        late = client.cancel(answer, rung=number)
        assert late.exit == record and late.rung_reached == 0
    assert client.await_exit(answer).cause == pb.EXIT_CAUSE_ITSELF


def test_lad_23_cancelling_a_failed_start(client):
    call = client.start_spawn("/nonexistent")
    with pytest.raises(Refused):
        client.result(call)
    late = client.cancel(client.key(call[3]))
    assert late.exit.kind == pb.EXIT_KIND_START_FAILED and not late.never_started


def test_lad_24_the_net_takes_over_from_a_silent_client(client, child):
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=200)
    record = client.await_exit(answer)
    first, second = gaps(record)
    assert 200 + TAKEOVER_MS <= first <= 200 + TAKEOVER_MS + LATE_MS
    assert 300 <= second <= 300 + LATE_MS  # takeover_ms is not added again
    assert journal(record) == [(1, False, CLIENT), (2, False, NET), (3, False, NET)]
    assert record.cause == pb.EXIT_CAUSE_CANCEL and record.rung == 3


def test_lad_24_delegate(client, child):
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=200, delegate=True)
    first, second = gaps(client.await_exit(answer))
    assert 200 <= first <= 200 + LATE_MS and 300 <= second <= 300 + LATE_MS


def test_lad_24_a_client_may_go_above_the_net(client, child):
    answer = stubborn(client, child, ladder=[rung(2, "LEADER", 300), rung(15, "TREE", 20_000)])
    client.cancel(answer, wait_ms=0, delegate=True)
    wait_for(lambda: client.find(answer).rung_reached == 2, "the net has climbed to rung 2")
    assert client.cancel(answer, rung=1).rung_reached == 2
    assert client.cancel(answer, rung=3).rung_reached == 3
    assert journal(client.await_exit(answer)) == [
        (1, False, CLIENT), (2, False, NET), (3, False, CLIENT)]


def test_lad_24_an_unlimited_wait_is_never_left_by_the_net(client, child):
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=FOREVER, delegate=True)
    assert client.find(answer).next_rung_ms == FOREVER
    assert not client.poll(answer, hold_ms=500).done
    assert client.find(answer).rung_reached == 1
    client.cancel(answer, wait_ms=0, delegate=True)  # brought nearer
    wait_for(lambda: client.find(answer).rung_reached >= 2, "the net goes on")


def test_lad_12_a_wait_of_zero_is_zero(client, child):
    answer = stubborn(client, child, ladder=[rung(2, "LEADER", 0), rung(15, "TREE", 0)])
    begin = time.monotonic()
    client.cancel(answer, wait_ms=0, delegate=True)
    record = client.await_exit(answer)
    assert time.monotonic() - begin < 1 and record.rung == 3
    assert [e.skipped for e in record.journal] == [False] * 3


def test_lad_27_the_climb_ends_at_once_when_the_tree_is_empty(client, child):
    answer = client.spawn("/bin/sh", "-c", "trap 'sleep 0.02; exit 9' INT; echo ready; "
                          "while :; do sleep 0.01; done", stdout="pipe",
                          ladder=[rung(2, "LEADER", 30_000)])
    client.read_until(answer, b"ready")
    begin = time.monotonic()
    client.cancel(answer, wait_ms=30_000)
    record = client.await_exit(answer)
    assert time.monotonic() - begin < 0.5
    assert (record.code, record.rung, len(record.journal)) == (9, 1, 1)


def test_lad_28_a_stopped_process_can_act(client, child):
    answer = client.spawn(child, "quit:2", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    os.kill(answer.pid, signal.SIGSTOP)
    client.cancel(answer, wait_ms=10_000)
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.rung) == (pb.EXIT_KIND_EXITED, 2, 1)


def test_lad_28_kill_on_tree_ends_everything(server, client, child):
    begin = len(descendants(server.pid))
    answer = stubborn(client, child, "fork", "ignore:15", "daemon", "ignore:15", "block", "pause",
                      "--", "pause", "--", "daemon", "ignore:15", "fork", "pause", "--", "busy", "--")
    wait_for(lambda: len(descendants(server.pid)) == begin + 5, "the whole tree is there")
    client.cancel(answer, rung=LAST)
    record = client.await_exit(answer)
    assert record.tree_empty and record.tree_proof != pb.TREE_PROOF_NONE
    assert len(descendants(server.pid)) == begin
    assert record.journal[-1].hit >= 4  # a parent of a daemon may have been counted, and be gone


def test_lad_28_kill_beats_a_process_that_forks_on(server, client):
    answer = client.spawn("/bin/sh", "-c", "trap '' INT TERM; echo ready; "
                          "while :; do (trap '' INT TERM; sleep 0.05; setsid sleep 30 &) & sleep 0.01; "
                          "done", stdout="pipe")
    client.read_until(answer, b"ready")
    time.sleep(0.2)  # let it spread; nothing waits for this
    client.cancel(answer, rung=LAST)
    assert client.await_exit(answer).tree_empty
    assert len(descendants(server.pid)) == 2


def test_lad_28_each_member_gets_the_signal_once(client, child):
    answer = client.spawn(child, "report:10", "fork", "report:10", "ready", "pause", "--",
                          "daemon", "report:10", "ready", "pause", "--", "ready", "pause",
                          stdout="pipe", ladder=[rung(10, "LEADER", 300), rung(10, "GROUP", 300),
                                                 rung(10, "TREE", 300)])

    def seen(word, count):
        wait_for(lambda: client.read(answer).data.count(word) == count, f"{count} times {word}")

    seen(b"ready", 3)
    for number, hit in ((1, 1), (2, 3), (3, 6)):
        client.cancel(answer, rung=number, wait_ms=20_000)
        seen(b"signal 10", hit)
    client.cancel(answer, rung=LAST)
    record = client.await_exit(answer)
    assert [e.hit for e in record.journal[:3]] == [1, 2, 3]


def test_ids_8_a_cancel_before_its_spawn_leaves_a_tombstone(client, clients, child):
    request_id = client.new_id()
    early = client.cancel(client.key(request_id))
    assert early.never_started and early.process_id == 0 and not early.ladder
    again = clients().cancel(client.key(request_id), rung=LAST)
    assert again.never_started
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            client.result(client.start("Spawn", request_id=request_id,
                                       argv=[child.encode(), b"pause"]))
        assert refused.value.code == "CANCELLED"
    assert not client.mine()
    with pytest.raises(Refused) as refused:
        client.poll(client.key(request_id))
    assert refused.value.code == "NOT_FOUND"


def test_ids_8_a_tombstone_goes_with_the_floor(client, child):
    request_id = client.new_id()
    assert client.cancel(client.key(request_id)).never_started
    client.floor = client.next_id + 1
    client.next_id += 1
    client.info()
    client.call("KeepAlive")
    with pytest.raises(Refused) as refused:
        client.cancel(client.key(request_id))
    assert refused.value.code == "NOT_FOUND"  # it can no longer come
    with pytest.raises(Refused) as refused:
        client.result(client.start("Spawn", request_id=request_id, argv=[child.encode(), b"pause"]))
    assert refused.value.code == "OUT_OF_RANGE"


def test_srv_8_cancel_and_spawn_sent_together_never_leave_a_survivor(server, client, clients, child):
    # On two connections, in both orders: never started, or started and then cancelled.
    other = clients()
    for i in range(60):
        request_id = client.new_id()
        key = pb.Target(spawn=pb.SpawnKey(session_id=client.session_id, request_id=request_id))

        def spawn():
            return client.start("Spawn", request_id=request_id, argv=[child.encode(), b"pause"])

        def cancel():
            return other.start("Cancel", target=key, rung=LAST, wait_ms=2000)

        if i % 2:
            spawning, cancelling = spawn(), cancel()
        else:
            cancelling, spawning = cancel(), spawn()
        cancelled = other.result(cancelling)
        response, payload = client.finish(spawning)
        if cancelled.never_started:
            assert response.status.code == pb.CODE_CANCELLED
        else:
            assert response.status.code == pb.CODE_OK
            record = client.await_exit(payload)
            assert (record.signal, record.cause) == (9, pb.EXIT_CAUSE_CANCEL)
    wait_for(lambda: len(descendants(server.pid)) == 2, "no child is left")


def test_srv_8_a_cancel_right_after_the_answer_is_never_lost(client, child):
    for _ in range(200):
        answer = client.spawn(child, "quit:2", "pause")
        client.cancel(answer, wait_ms=20_000)
        record = client.await_exit(answer)
        assert (record.cause, record.rung) == (pb.EXIT_CAUSE_CANCEL, 1)
        client.release(answer)


def test_lad_30_run_ms(client, child):
    answer = stubborn(client, child, run_ms=200)
    record = client.await_exit(answer)
    assert 200 <= record.journal[0].at_ms <= 200 + LATE_MS
    assert all(300 <= gap <= 300 + LATE_MS for gap in gaps(record))
    assert journal(record) == [(1, False, NET), (2, False, NET), (3, False, NET)]
    assert (record.cause, record.rung) == (pb.EXIT_CAUSE_DEADLINE, 3)


def test_lad_30_run_ms_changes_nothing_in_a_climb(client, child):
    answer = stubborn(client, child, run_ms=300)
    client.cancel(answer, wait_ms=20_000)
    assert not client.poll(answer, hold_ms=500).done
    assert client.find(answer).rung_reached == 1
    client.cancel(answer, rung=LAST)
    assert client.await_exit(answer).cause == pb.EXIT_CAUSE_CANCEL


def test_lad_31_members_left_by_a_leader_are_cancelled(server, client, child):
    answer = client.spawn(child, "ignore:15", "daemon", "pause", "--", "exit:4", ladder=SHORT)
    record = client.await_exit(answer)
    assert (record.code, record.cause, record.rung) == (4, pb.EXIT_CAUSE_ITSELF, 0)
    assert journal(record) == [(1, True, NET), (2, False, NET), (3, False, NET)]
    assert 300 <= gaps(record)[0] <= 300 + LATE_MS
    assert record.tree_empty_ms >= record.leader_exit_ms + 300
    assert len(descendants(server.pid)) == 2


def test_lad_31_keep_and_then_cancel(client, child):
    answer = client.spawn(child, "daemon", "ready", "pause", "--", "exit:4", stdout="pipe",
                          ladder=SHORT, on_leader_exit=pb.ON_LEADER_EXIT_KEEP)
    assert client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT).code == 4
    assert not client.poll(answer, hold_ms=400).done
    client.cancel(answer, rung=2, wait_ms=5000)
    record = client.await_exit(answer)
    assert (record.cause, record.rung) == (pb.EXIT_CAUSE_ITSELF, 0)
    assert journal(record) == [(1, True, CLIENT), (2, False, CLIENT)]


def test_lad_31_a_rung_for_the_leader_alone_does_not_keep_the_rest_waiting(client, child):
    answer = client.spawn(child, "daemon", "pause", "--", "quit:2", "ready", "pause",
                          stdout="pipe", ladder=[rung(2, "LEADER", 20_000), rung(15, "TREE", 300)])
    client.read_until(answer, b"ready")
    begin = time.monotonic()
    client.cancel(answer, wait_ms=20_000)
    record = client.await_exit(answer)
    assert time.monotonic() - begin < 2
    assert (record.code, record.rung, record.cause) == (2, 1, pb.EXIT_CAUSE_CANCEL)
    assert journal(record)[:2] == [(1, False, CLIENT), (2, False, NET)]


def test_lad_25_a_climber_that_is_killed_costs_no_takeover_time(server, clients, child):
    # The session of the climber ends with its process; the process here belongs to another session.
    owner = clients()
    answer = stubborn(owner, child)
    script = ("import sys, time; sys.path.insert(0, sys.argv[1]); from plain_client import *\n"
              "c = Client(sys.argv[2]); c.cancel(int(sys.argv[3]), wait_ms=300)\n"
              "print('done', flush=True); time.sleep(100)")
    climber = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(__file__), server.url,
                                str(answer.process_id)], stdout=subprocess.PIPE)
    assert climber.stdout.readline() == b"done\n"
    climber.kill()
    climber.wait()
    climber.stdout.close()
    record = owner.await_exit(answer)
    first, second = gaps(record)
    assert 300 <= first <= 300 + LATE_MS + 300 and 300 <= second <= 300 + LATE_MS


def test_lad_34_many_are_stopped_in_the_time_of_one(client, child):
    answers = [stubborn(client, child) for _ in range(25)]
    begin = time.monotonic()
    calls = [client.start("Cancel", target=pb.Target(process_id=a.process_id), rung=1, wait_ms=300,
                          delegate=True) for a in answers]
    assert all(client.result(call).rung_reached == 1 for call in calls)
    records = [client.await_exit(a) for a in answers]
    assert time.monotonic() - begin < 0.6 + 1
    assert all(r.rung == 3 and r.signal == 9 for r in records)


def test_sig_4_exit_and_cancel_race(client, child):
    for i in range(60):
        answer = client.spawn(child, f"sleep:{i % 3}", "exit:5")
        cancelled = client.cancel(answer, rung=LAST)
        record = client.await_exit(answer)
        if record.kind == pb.EXIT_KIND_EXITED:
            assert record.code == 5 and record.cause in (pb.EXIT_CAUSE_ITSELF, pb.EXIT_CAUSE_CANCEL)
        else:
            assert (record.signal, record.cause) == (9, pb.EXIT_CAUSE_CANCEL)
        if cancelled.HasField("exit"):
            assert cancelled.exit == record


def test_a_stopped_client_does_not_stall_the_ladder(server, clients, child):
    owner = clients()
    answer = stubborn(owner, child)
    script = ("import sys, os, signal; sys.path.insert(0, sys.argv[1]); from plain_client import *\n"
              "c = Client(sys.argv[2]); c.cancel(int(sys.argv[3]), wait_ms=200)\n"
              "print('done', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    climber = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(__file__), server.url,
                                str(answer.process_id)], stdout=subprocess.PIPE)
    assert climber.stdout.readline() == b"done\n"
    record = owner.await_exit(answer)
    first, second = gaps(record)
    assert 200 + TAKEOVER_MS <= first <= 200 + TAKEOVER_MS + LATE_MS
    assert 300 <= second <= 300 + LATE_MS
    climber.kill()
    climber.wait()
    climber.stdout.close()
