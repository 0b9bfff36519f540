"""The server's orderly end. Clauses: docs/spec/10-inspect.md (SHD)."""
import os
import signal
import time

import pytest
from conftest import Server, descendants
from plain_client import Client, Refused, pb, rung

SHORT = [rung(2, "LEADER", 400), rung(15, "TREE", 400), rung(9, "TREE", 2000)]
KEEP = pb.ON_OWNER_LOST_KEEP
# With a sanitizer each program looks for leaks before it ends; scripts/test says so.
SLOWER_S = float(os.environ.get("SPAWND_SLOWER_S", "0"))


def stubborn(client, child, **fields):
    fields.setdefault("ladder", SHORT)
    answer = client.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe", **fields)
    client.read_until(answer, b"ready")
    return answer


def awaiting(client, *answers):
    return [client.start("AwaitExit", hold_ms=25_000, target=pb.Target(process_id=a.process_id))
            for a in answers]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shd_2_one_budget_keep_included_and_records_delivered(fresh_server, child, number):
    client = Client(fresh_server.url)
    answers = [stubborn(client, child, on_owner_lost=KEEP) for _ in range(5)]
    answers.append(client.spawn(child, "quit:2", "ready", "pause", stdout="pipe",
                                ladder=[rung(2, "LEADER", 20_000)]))
    client.read_until(answers[5], b"ready")
    calls = awaiting(client, *answers)
    begin = time.monotonic()
    fresh_server.process.send_signal(number)
    records = [client.result(call).exit for call in calls]
    assert fresh_server.wait() == 0
    assert 0.798 <= time.monotonic() - begin < 0.8 + 1 + SLOWER_S
    for record in records[:5]:
        assert (record.signal, record.rung) == (9, 3)
        assert record.cause == pb.EXIT_CAUSE_SERVER_SHUTDOWN and record.tree_empty
        assert [(e.rung, e.skipped, e.climber) for e in record.journal] == [
            (n, False, pb.CLIMBER_NET) for n in (1, 2, 3)]
    assert (records[5].kind, records[5].code, records[5].rung) == (pb.EXIT_KIND_EXITED, 2, 1)
    assert client.connection.is_closed(5)


def test_shd_1_spawns_are_refused_and_the_rest_is_served(fresh_server, child, true):
    client = Client(fresh_server.url)
    answer = stubborn(client, child)
    request_id = client.new_id()
    fresh_server.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 5
    while not client.info().shutting_down:
        assert time.monotonic() < end
    for _ in range(2):  # not recorded: the same id gets the same refusal, not another's answer
        with pytest.raises(Refused) as refused:
            client.call("Spawn", request_id=request_id, argv=[true.encode()])
        assert refused.value.code == "UNAVAILABLE"
    assert client.cancel(answer, rung=1).rung_reached >= 1
    assert client.find(answer).state == pb.PROCESS_STATE_CANCELLING
    assert Client(fresh_server.url).session_id
    assert client.await_exit(answer).cause == pb.EXIT_CAUSE_SERVER_SHUTDOWN
    assert fresh_server.wait() == 0


def test_shd_4_a_second_term_is_the_last_rung_now(fresh_server, child):
    client = Client(fresh_server.url)
    answers = [stubborn(client, child, ladder=[rung(2, "LEADER", 60_000), rung(15, "TREE", 60_000)])
               for _ in range(3)]
    calls = awaiting(client, *answers)
    fresh_server.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 5
    while any(client.find(a).rung_reached != 1 for a in answers):
        assert time.monotonic() < end
    begin = time.monotonic()
    fresh_server.process.send_signal(signal.SIGTERM)
    records = [client.result(call).exit for call in calls]
    assert fresh_server.wait() == 0 and time.monotonic() - begin < 2 + SLOWER_S
    for record in records:
        assert (record.signal, record.rung) == (9, 3)
        assert [(e.rung, e.skipped) for e in record.journal] == [(1, False), (2, True), (3, False)]


def test_shd_2_a_climb_under_way_goes_on(fresh_server, child):
    client = Client(fresh_server.url)
    answer = stubborn(client, child)
    client.cancel(answer, rung=2, wait_ms=400)
    call, = awaiting(client, answer)
    begin = time.monotonic()
    fresh_server.process.send_signal(signal.SIGTERM)
    record = client.result(call).exit
    assert fresh_server.wait() == 0 and time.monotonic() - begin < 0.4 + 1 + SLOWER_S
    assert record.cause == pb.EXIT_CAUSE_CANCEL and record.rung == 3
    assert [(e.rung, e.skipped) for e in record.journal] == [(1, True), (2, False), (3, False)]


def test_shd_2_an_unlimited_wait_gives_way_to_the_stored_one(fresh_server, child):
    client = Client(fresh_server.url)
    answer = stubborn(client, child)
    client.cancel(answer, wait_ms=2**64 - 1)
    call, = awaiting(client, answer)
    begin = time.monotonic()
    fresh_server.process.send_signal(signal.SIGTERM)
    record = client.result(call).exit
    assert fresh_server.wait() == 0 and time.monotonic() - begin < 0.8 + 1 + SLOWER_S
    assert (record.rung, record.cause) == (3, pb.EXIT_CAUSE_CANCEL)


def test_shd_3_a_server_without_processes_ends_at_once(fresh_server):
    client = Client(fresh_server.url)
    begin = time.monotonic()
    assert fresh_server.end() == 0
    assert time.monotonic() - begin < 1 + SLOWER_S
    assert client.connection.is_closed(5)


def test_shd_6_ready_line_and_file_modes(fresh_server):
    path = fresh_server.url.removeprefix("ipc://")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert len(descendants(fresh_server.pid)) == 2


def test_shd_6_sd_notify(tmp_path):
    import socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        server = Server(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        try:
            assert b"READY=1" in listener.recv(4096)
            server.wait_ready()
            assert server.end() == 0
        finally:
            server.discard()


def test_shd_3_ten_restarts_leave_nothing(true):
    for _ in range(10):
        server = Server()
        try:
            client = Client(server.wait_ready().url)
            assert client.spawn(true, hold_ms=1000).exit.code == 0
            client.close_connection()
            assert server.end() == 0
            server.check_nothing_left()
        finally:
            server.discard()


def test_shd_7_a_third_request_does_not_wait_for_the_broker(fresh_server, child):
    client = Client(fresh_server.url)
    answer = client.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe")
    client.read_until(answer, b"ready")
    os.kill(fresh_server.broker, signal.SIGSTOP)
    begin = time.monotonic()
    for _ in range(3):
        fresh_server.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)  # so that the signals are three
    assert fresh_server.wait() != 0
    assert time.monotonic() - begin < 1.5  # a broker that does not answer is killed after 2 s
    for name in os.listdir(fresh_server.folder / "run"):  # it could not remove them
        os.unlink(fresh_server.folder / "run" / name)
    assert not os.path.exists(f"/proc/{answer.pid}")
    client.close_connection()
