"""Exit records: exact, kept, never invented. Clauses: docs/spec/08-exit.md."""
import os
import signal

import pytest
from conftest import wait_for
from plain_client import LAST, Refused, pb, rung


def ended(client, *argv, **fields):
    return client.await_exit(client.spawn(*argv, **fields))


def test_ext_3_code_137_and_signal_9_are_told_apart(client):
    record = ended(client, "/bin/sh", "-c", "kill -9 $$")
    assert (record.kind, record.signal) == (pb.EXIT_KIND_SIGNALED, 9)
    assert record.cause == pb.EXIT_CAUSE_OUTSIDE_SIGNAL and record.code == 0
    record = ended(client, "/bin/sh", "-c", "exit 137")
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 137)
    assert record.cause == pb.EXIT_CAUSE_ITSELF and record.signal == 0
    record = ended(client, "/bin/sh", "-c", "exit 143")
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 143)
    record = ended(client, "/bin/sh", "-c", "exit 127")
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 127)


@pytest.mark.parametrize("code", [0, 1, 126, 128, 255])
def test_ext_2_codes(client, child, code):
    assert ended(client, child, f"exit:{code}").code == code


@pytest.mark.parametrize("number", [1, 2, 13, 15, 31, 34, 64])
def test_ext_2_signals(client, child, number):
    record = ended(client, child, f"kill:{number}")
    assert (record.kind, record.signal) == (pb.EXIT_KIND_SIGNALED, number)
    assert record.cause == pb.EXIT_CAUSE_OUTSIDE_SIGNAL and not record.journal and record.rung == 0


def test_ext_2_core_flag(client, child, tmp_path):
    record = ended(client, child, "kill:6", cwd=bytes(tmp_path),
                   rlimits=[pb.Rlimit(resource=4, soft=0, hard=0)])
    assert (record.signal, record.core_dumped) == (6, False)
    pattern = open("/proc/sys/kernel/core_pattern").read()
    if pattern.startswith("|") or "/" in pattern:
        pytest.skip(f"core files go elsewhere: core_pattern is {pattern.strip()!r}")
    record = ended(client, child, "kill:6", cwd=bytes(tmp_path),
                   rlimits=[pb.Rlimit(resource=4, soft=1 << 30, hard=1 << 30)])
    assert (record.signal, record.core_dumped) == (6, True)


def test_ext_11_times_usage_and_identity(client, child):
    call = client.start_spawn(child, "sleep:120", name=b"timed")
    answer = client.result(call)
    record = client.await_exit(answer)
    assert record.process_id == answer.process_id and record.session_id == client.session_id
    assert record.spawn_request_id == call[3] and record.name == b"timed"
    assert 115 <= record.leader_exit_ms <= record.tree_empty_ms < 5000
    assert record.started_unix_ms == answer.started_unix_ms
    assert record.tree_empty and record.tree_proof in (pb.TREE_PROOF_SUBREAPER, pb.TREE_PROOF_CGROUP)
    assert record.usage.max_rss_kib > 0 and record.usage.voluntary_switches > 0


def test_ext_11_processor_time(client):
    record = ended(client, "/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
    assert record.usage.user_us > 10_000


def test_ext_1_the_record_is_the_same_however_often_it_is_read(client, clients, child):
    answer = client.spawn(child, "exit:3")
    first = client.await_exit(answer)
    other = clients()
    assert all(one.poll(answer).exit == first for one in (client, other, client))
    client.release(answer)
    for one in (client, other):
        with pytest.raises(Refused) as refused:
            one.poll(answer)
        assert refused.value.code == "NOT_FOUND"


def test_ext_12_a_stopped_leader_has_not_exited(client, child):
    answer = client.spawn(child, "sleep:60", "ready", "pause", stdout="pipe")
    os.kill(answer.pid, signal.SIGSTOP)
    assert not client.poll(answer, hold_ms=200).done
    os.kill(answer.pid, signal.SIGCONT)
    client.read_until(answer, b"ready")
    assert not client.poll(answer).done


def test_ext_4_killed_by_somebody_else_during_a_climb(client, child):
    answer = client.spawn(child, "ignore:2", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    client.cancel(answer, wait_ms=5000)
    os.kill(answer.pid, signal.SIGUSR1)
    record = client.await_exit(answer)
    assert (record.signal, record.cause) == (signal.SIGUSR1, pb.EXIT_CAUSE_OUTSIDE_SIGNAL)
    assert record.rung == 1 and [entry.rung for entry in record.journal] == [1]


def test_ext_4_exit_after_a_rung_is_of_the_climb(client, child):
    answer = client.spawn(child, "quit:2", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    client.cancel(answer, wait_ms=5000)
    record = client.await_exit(answer)
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 2)
    assert (record.cause, record.rung) == (pb.EXIT_CAUSE_CANCEL, 1)


def test_ext_4_a_signal_call(client, child):
    answer = client.spawn(child, "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    assert client.signal(answer, signal.SIGUSR2).hit == 1
    record = client.await_exit(answer)
    assert (record.signal, record.cause) == (signal.SIGUSR2, pb.EXIT_CAUSE_SIGNAL_CALL)
    assert record.rung == 0 and not record.journal
    assert client.signal(answer, 15).hit == 0  # ended: nobody was left (SIG-2)


def test_sig_1_a_signal_is_not_followed_by_cont_and_climbs_nothing(client, child):
    answer = client.spawn(child, "report:10", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    assert client.signal(answer, signal.SIGSTOP).hit == 1
    state = f"/proc/{answer.pid}/stat"
    wait_for(lambda: open(state).read().rsplit(")", 1)[1].split()[0] == "T", "it is stopped")
    client.signal(answer, 10)
    assert client.find(answer).rung_reached == 0
    client.signal(answer, signal.SIGCONT)
    client.read_until(answer, b"signal 10\n")


def test_sig_1_scopes(client, child):
    answer = client.spawn(child, "report:10", "fork", "report:10", "ready", "pause", "--",
                          "daemon", "report:10", "ready", "pause", "--", "ready", "pause",
                          stdout="pipe")
    wait_for(lambda: client.read(answer).data.count(b"ready") == 3, "three are ready")
    for scope, hit, seen in (("LEADER", 1, 1), ("GROUP", 2, 3), ("TREE", 3, 6)):
        assert client.signal(answer, 10, scope).hit == hit
        wait_for(lambda: client.read(answer).data.count(b"signal 10") == seen, f"{seen} were seen")


def test_ext_9_unreleased_records_are_bounded_and_none_is_dropped(client, true):
    # Only the announcement: filling 16,384 is the soak test's work.
    assert client.limits.max_unreleased == 16384
    answers = [client.spawn(true) for _ in range(50)]
    assert all(client.await_exit(a).kind == pb.EXIT_KIND_EXITED for a in answers)
    assert client.info().counters.records >= 50
    for answer in answers:
        client.release(answer)
    assert not client.mine()


def test_ext_4_kill_by_the_last_rung(client, child):
    answer = client.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe",
                          ladder=[rung(2, "LEADER", 5000), rung(15, "TREE", 5000)])
    client.read_until(answer, b"ready")
    reached = client.cancel(answer, rung=LAST)
    assert reached.rung_reached == 3 and len(reached.ladder) == 3
    record = client.await_exit(answer)
    assert (record.signal, record.cause, record.rung) == (9, pb.EXIT_CAUSE_CANCEL, 3)
    assert [(e.rung, e.skipped) for e in record.journal] == [(1, True), (2, True), (3, False)]
    assert record.journal[2].climber == pb.CLIMBER_CLIENT and record.journal[2].hit >= 1
