"""AwaitExit and Release. Clauses: docs/spec/07-await.md."""
import os
import time

import pytest
from conftest import descendants, wait_for
from plain_client import LAST, Connection, Refused, pb


def test_awt_2_a_hold_ends_with_done_false(client, child):
    answer = client.spawn(child, "pause")
    begin = time.monotonic()
    waited = client.poll(answer, hold_ms=150)
    assert not waited.done and not waited.HasField("exit") and waited.retry_after_ms == 0
    assert 0.148 <= time.monotonic() - begin < 2
    assert not client.poll(answer).done


def test_env_4_timeout_ms_bounds_a_hold(client, child):
    answer = client.spawn(child, "pause")
    begin = time.monotonic()
    call = client.start("AwaitExit", target=pb.Target(process_id=answer.process_id),
                        hold_ms=20000, _timeout_ms=150)
    assert not client.result(call).done
    assert 0.148 <= time.monotonic() - begin < 2


def test_awt_2_the_answer_comes_as_soon_as_the_exit(client, child):
    answer = client.spawn(child, "sleep:200", "exit:5")
    begin = time.monotonic()
    waited = client.poll(answer, hold_ms=20000)
    assert waited.done and waited.exit.code == 5
    assert time.monotonic() - begin < 1


def test_awt_1_many_wait_and_all_get_the_same_record(client, clients, child):
    answer = client.spawn(child, "sleep:200", "exit:5")
    calls = [(one, one.start("AwaitExit", target=pb.Target(process_id=answer.process_id),
                             hold_ms=20000))
             for one in [client] + [clients() for _ in range(4)] for _ in range(10)]
    records = [one.result(call).exit for one, call in calls]
    assert len(records) == 50 and all(record == records[0] for record in records)
    assert records[0].code == 5


def test_awt_5_parked_calls_keep_nobody_waiting(client, child, true):
    sleeper = client.spawn(child, "pause")
    parked = [client.start("AwaitExit", target=pb.Target(process_id=sleeper.process_id),
                           hold_ms=20000) for _ in range(500)]
    wait_for(lambda: client.info().counters.parked >= 500, "500 calls are parked")
    begin = time.monotonic()
    for _ in range(20):
        assert client.spawn(true, hold_ms=1000).exit.kind == pb.EXIT_KIND_EXITED
    assert time.monotonic() - begin < 2
    client.cancel(sleeper, rung=LAST)
    assert all(client.result(call).exit.signal == 9 for call in parked)
    assert client.info().counters.parked == 0


def test_awt_1_leader_exit_and_tree_empty_are_two_facts(client, child):
    answer = client.spawn(child, "fork", "sleep:400", "--", "exit:6",
                          on_leader_exit=pb.ON_LEADER_EXIT_KEEP)
    begin = time.monotonic()
    record = client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT)
    assert time.monotonic() - begin < 0.35
    assert record.code == 6 and not record.tree_empty and record.tree_proof == 0
    assert client.find(answer).state == pb.PROCESS_STATE_LEADER_EXITED
    assert not client.poll(answer).done
    final = client.await_exit(answer)
    assert final.tree_empty and final.code == 6 and final.tree_empty_ms >= final.leader_exit_ms + 200
    # Once the tree is empty both facts have the final record.
    assert client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT) == final


def test_ids_7_awaiting_by_the_spawns_key(client, child, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # the start waits for a writer
    call = client.start_spawn(child, "sleep:100", "exit:5",
                              stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo)))
    wait_for(lambda: client.mine(state=pb.PROCESS_STATE_STARTING), "it starts")
    waiting = client.start("AwaitExit", target=pb.Target(spawn=pb.SpawnKey(request_id=call[3])),
                           hold_ms=20000)
    assert not client.poll(client.key(call[3])).done
    with open(fifo, "w"):
        client.call("KeepAlive")
    answer, waited = client.result(call), client.result(waiting)
    assert waited.done and waited.exit.code == 5 and waited.process_id == answer.process_id


def test_awt_6_release(client, clients, child, true):
    answer = client.spawn(child, "pause")
    with pytest.raises(Refused) as refused:
        client.release(answer)
    assert refused.value.code == "FAILED_PRECONDITION"
    client.cancel(answer, rung=LAST)
    client.await_exit(answer)
    call = client.start("Release", target=pb.Target(process_id=answer.process_id))
    client.result(call)
    again = client.start("Release", target=pb.Target(process_id=answer.process_id),
                         request_id=call[3])
    client.result(again)  # the recorded answer
    for refusal in (lambda: client.release(answer), lambda: client.poll(answer),
                    lambda: client.cancel(answer), lambda: client.signal(answer, 15),
                    lambda: client.read(answer)):
        with pytest.raises(Refused) as refused:
            refusal()
        assert refused.value.code == "NOT_FOUND"
    # Any session of the principal may release, also by the key.
    call = client.start_spawn(true, hold_ms=1000)
    client.result(call)
    clients().release(client.key(call[3]))
    assert not client.mine()


def test_awt_6_output_goes_with_the_record(client, clients):
    answer = client.spawn("/usr/bin/seq", "1", "10", stdout="pipe")
    client.await_exit(answer)
    wait_for(lambda: client.read(answer, offset=21).eof, "the stream has ended")
    other = clients()
    other.release(answer)
    with pytest.raises(Refused) as refused:
        client.read(answer)
    assert refused.value.code == "NOT_FOUND"


def test_ins_5_one_process(client, child):
    answer = client.spawn(child, "exit:3")
    client.await_exit(answer)
    call = client.start_spawn("/nonexistent")
    with pytest.raises(Refused):
        client.result(call)
    assert client.find(answer).exit.code == 3
    failed, = client.list(target=pb.Target(spawn=pb.SpawnKey(request_id=call[3])))
    assert failed.state == pb.PROCESS_STATE_ENDED
    assert failed.exit.kind == pb.EXIT_KIND_START_FAILED
    assert call[3] not in [p.spawn_request_id for p in client.mine()]
    with pytest.raises(Refused) as refused:
        client.list(target=pb.Target(process_id=answer.process_id + 1000))
    assert refused.value.code == "NOT_FOUND"


def test_awt_6_releasing_a_failed_start(client):
    call = client.start_spawn("/nonexistent")
    with pytest.raises(Refused):
        client.result(call)
    assert client.poll(client.key(call[3])).done
    client.release(client.key(call[3]))
    with pytest.raises(Refused) as refused:
        client.poll(client.key(call[3]))
    assert refused.value.code == "NOT_FOUND"


def test_trn_11_parked_calls_go_with_their_connection(server, client, child):
    answer = client.spawn(child, "pause")
    for _ in range(5):
        with Connection(server.url) as connection:
            for _ in range(40):
                client.start("AwaitExit", connection=connection, hold_ms=20000,
                             target=pb.Target(process_id=answer.process_id))
            wait_for(lambda: client.info().counters.parked >= 40, "40 calls are parked")
    wait_for(lambda: client.info().counters.parked == 0, "the parked calls are dropped")


def test_srv_4_nothing_is_left_as_a_zombie(server, client, child):
    answers = [client.spawn(child, "daemon", "sleep:50", "--", "fork", "exit:1", "--", "sleep:20")
               for _ in range(20)]
    assert all(client.await_exit(a).kind == pb.EXIT_KIND_EXITED for a in answers)
    wait_for(lambda: len(descendants(server.pid)) == 2, "root and broker are alone", timeout=3)
