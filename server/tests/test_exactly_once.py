"""Request ids: one answer for one id, the floor, joins. Clauses: docs/spec/03-exactly-once.md."""
import os
import time

import pytest
from conftest import descendants, wait_for
from plain_client import LAST, Connection, Refused, pb


def spawn_payload(*argv, **fields):
    argv = [a if isinstance(a, bytes) else a.encode() for a in argv]
    return pb.SpawnRequest(argv=argv, **fields).SerializeToString()


def test_srv_1_one_spawn_id_50_times_over_5_connections(server, client, child):
    connections = [Connection(server.url) for _ in range(5)]
    payload, request_id = spawn_payload(child, "pause"), client.new_id()
    calls = [client.start("Spawn", payload, request_id=request_id, connection=connections[i % 5])
             for i in range(50)]
    answers = [client.finish(call) for call in calls]
    first = answers[0][0]
    assert first.status.code == pb.CODE_OK
    assert all(response.status == first.status and response.payload == first.payload
               for response, _ in answers)
    assert len(client.mine()) == 1 and len(descendants(server.pid)) == 3
    for connection in connections:
        connection.close()


def test_ids_5_a_repeated_spawn_gets_the_first_answer_after_the_exit_too(client, child):
    payload, request_id = spawn_payload(child, "exit:3"), client.new_id()
    first = client.finish(client.start("Spawn", payload, request_id=request_id))[0]
    answer = pb.SpawnResponse.FromString(first.payload)
    client.await_exit(answer)
    client.release(answer)
    again = client.finish(client.start("Spawn", payload, request_id=request_id))[0]
    assert again.payload == first.payload and again.status == first.status
    assert client.info().counters.processes == 0 and not client.mine()


def test_ids_5_a_failed_start_is_not_tried_again(client, tmp_path):
    program = tmp_path / "later"
    payload, request_id = spawn_payload(bytes(program)), client.new_id()
    first = client.finish(client.start("Spawn", payload, request_id=request_id))[0]
    assert first.status.code == pb.CODE_FAILED_PRECONDITION
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    again = client.finish(client.start("Spawn", payload, request_id=request_id))[0]
    assert again.status == first.status


def test_ids_5_a_repetition_joins_a_pending_call(client, true, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # the start waits for a writer
    payload = spawn_payload(true, stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo)))
    request_id = client.new_id()
    calls = [client.start("Spawn", payload, request_id=request_id) for _ in range(10)]
    wait_for(lambda: client.mine(state=pb.PROCESS_STATE_STARTING), "it starts")
    with open(fifo, "w"):
        answers = [client.result(call) for call in calls]
    assert all(answer == answers[0] for answer in answers)
    assert client.info().counters.processes <= 1


def test_ids_6_other_content_is_refused_and_the_first_answer_stays(client, child):
    payload, request_id = spawn_payload(child, "pause"), client.new_id()
    first = client.result(client.start("Spawn", payload, request_id=request_id))
    for method, other in (
            ("Spawn", spawn_payload(child, "pause", "x")),
            ("Spawn", payload + b"\xa8\x7d\x01"),  # an unknown field is content too
            ("Spawn", b""),
            ("Cancel", payload),
            ("Release", pb.ReleaseRequest(
                target=pb.Target(process_id=first.process_id)).SerializeToString())):
        with pytest.raises(Refused) as refused:
            client.result(client.start(method, other, request_id=request_id))
        assert refused.value.code == "INVALID_ARGUMENT"
        assert refused.value.value.path == "request_id"
    assert client.result(client.start("Spawn", payload, request_id=request_id)) == first
    assert len(client.mine()) == 1


def test_ids_1_id_0_is_refused_in_recorded_methods(client, child):
    answer = client.spawn(child, "pause")
    target = pb.Target(process_id=answer.process_id)
    for method, fields in (("Spawn", dict(argv=[b"/bin/true"])), ("Cancel", dict(target=target, rung=1)),
                           ("Signal", dict(target=target, signal=15, scope=1)),
                           ("Release", dict(target=target))):
        with pytest.raises(Refused) as refused:
            client.call(method, request_id=0, **fields)
        assert refused.value.code == "INVALID_ARGUMENT"
        assert refused.value.value.path == "request_id"
    assert client.find(answer).rung_reached == 0
    for method, fields in (("AwaitExit", dict(target=target)), ("KeepAlive", {}),
                           ("GetServerInfo", {}), ("ListProcesses", {})):
        client.call(method, request_id=0, **fields)


def test_ids_2_ids_of_other_methods_are_not_looked_at(client, child):
    request_id = client.new_id()
    for _ in range(3):
        client.call("KeepAlive", request_id=request_id)
        client.call("GetServerInfo", request_id=request_id)
    assert client.result(client.start("Spawn", spawn_payload(child, "pause"),
                                      request_id=request_id)).process_id


def test_ids_1_ids_arrive_in_any_order(client, true):
    base = client.next_id
    client.next_id += 20
    for request_id in [base + n for n in (20, 3, 11, 7, 1, 19)]:
        client.result(client.start("Spawn", spawn_payload(true), request_id=request_id))
    assert len(client.mine()) == 6


def test_ids_3_below_the_floor_nothing_is_carried_out(client, true):
    payload, request_id = spawn_payload(true, hold_ms=1000), client.new_id()
    client.result(client.start("Spawn", payload, request_id=request_id))
    client.floor = request_id + 1
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            client.result(client.start("Spawn", payload, request_id=request_id))
        assert refused.value.code == "OUT_OF_RANGE" and refused.value.detail == "limit"
        assert (refused.value.value.name, refused.value.value.max) == ("floor", request_id + 1)
        client.floor = 0  # a lower floor changes nothing
    assert len(client.mine()) == 1
    # The process's record is still there, by its key too.
    assert client.await_exit(client.key(request_id)).kind == pb.EXIT_KIND_EXITED


def test_ids_3_every_request_carries_the_floor(client, true):
    request_id = client.new_id()
    client.call("KeepAlive", _floor=request_id + 5)
    with pytest.raises(Refused) as refused:
        client.result(client.start("Spawn", spawn_payload(true), request_id=request_id + 4))
    assert refused.value.code == "OUT_OF_RANGE"
    assert client.result(client.start("Spawn", spawn_payload(true), request_id=request_id + 5))


def test_ids_4_4096_unsettled_answers(client, child):
    most = client.limits.max_unsettled
    assert most == 4096
    answer = client.spawn(child, "ignore:10", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    target = pb.Target(process_id=answer.process_id)
    first, calls = client.next_id + 1, []
    # The Spawn counts as one.
    for _ in range(most - 1):
        calls.append(client.start("Signal", target=target, signal=10, scope=pb.SCOPE_LEADER))
        if len(calls) == 256:
            assert all(client.result(call).hit == 1 for call in calls)
            calls.clear()
    assert all(client.result(call).hit == 1 for call in calls)
    over = client.new_id()
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            client.call("Signal", request_id=over, target=target, signal=10, scope=pb.SCOPE_LEADER)
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        assert (refused.value.value.name, refused.value.value.max) == ("max_unsettled", most)
    # Repetitions of what is kept are still answered, and a raised floor makes room: same id.
    assert client.call("Signal", request_id=first, target=target, signal=10,
                       scope=pb.SCOPE_LEADER).hit == 1
    client.floor = first + 1000
    assert client.call("Signal", request_id=over, target=target, signal=10,
                       scope=pb.SCOPE_LEADER).hit == 1
    client.cancel(answer, rung=LAST)


def test_ids_5_a_repeated_cancel_and_signal_act_once(client, child):
    answer = client.spawn(child, "report:10", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    request_id = client.new_id()
    for _ in range(5):
        client.call("Signal", request_id=request_id, target=pb.Target(process_id=answer.process_id),
                    signal=10, scope=pb.SCOPE_LEADER)
    assert client.read_until(answer, b"signal 10\n") == b"ready\nsignal 10\n"
    client.cancel(answer, rung=LAST)
    assert client.read_all(answer)[0] == b"ready\nsignal 10\n"


def test_sta_2_what_is_not_recorded_may_be_repeated_with_the_same_id(client, child, true):
    # INVALID_ARGUMENT of a decoded request is recorded: the id is spent ...
    request_id = client.new_id()
    with pytest.raises(Refused) as refused:
        client.result(client.start("Spawn", b"", request_id=request_id))
    assert refused.value.value.path == "argv"
    with pytest.raises(Refused) as refused:
        client.result(client.start("Spawn", spawn_payload(true), request_id=request_id))
    assert refused.value.value.path == "request_id"
    # ... that of an undecodable one is not.
    request_id = client.new_id()
    with pytest.raises(Refused) as refused:
        client.result(client.start("Spawn", b"\xff\xff", request_id=request_id))
    assert refused.value.code == "INVALID_ARGUMENT" and refused.value.value.path == "payload"
    assert client.result(client.start("Spawn", spawn_payload(true), request_id=request_id))


def test_ids_12_ids_belong_to_one_session(clients, true):
    one, two = clients(), clients()
    request_id = 1000
    first = one.result(one.start("Spawn", spawn_payload(true), request_id=request_id))
    second = two.result(two.start("Spawn", spawn_payload(true), request_id=request_id))
    assert first.process_id != second.process_id
    assert one.poll(two.key(request_id), hold_ms=5000).process_id == second.process_id


def test_row_1_a_client_that_dies_after_sending_a_spawn(server, clients, child):
    """The child follows its on_owner_lost; the record is there for another session of the principal."""
    watcher = clients()
    for i in range(20):
        one = clients(lease_ms=10000)
        call = one.start_spawn(child, "pause", on_owner_lost=pb.ON_OWNER_LOST_KEEP)
        one.close_connection()  # never reads the answer
        key = one.key(call[3])

        def known():
            try:
                return watcher.poll(key)
            except Refused as refused:
                assert refused.code == "NOT_FOUND"
        deadline = time.monotonic() + 0.2
        while not known() and time.monotonic() < deadline:
            pass
        cancelled = watcher.call("Cancel", rung=LAST, wait_ms=0, target=pb.Target(
            spawn=pb.SpawnKey(session_id=key[0], request_id=key[1])))
        if not cancelled.never_started:
            assert watcher.await_exit(key).signal == 9
    assert len(descendants(server.pid)) == 2
