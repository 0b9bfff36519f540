"""Sessions: versions, leases, owners, epochs. Clauses: docs/spec/04-session.md."""
import os
import subprocess
import sys
import time

import pytest
from conftest import BROKER, descendants, run_server, strays, wait_for
from plain_client import LAST, Client, Connection, Refused, pb, rung

LATE_S = 0.5
SHORT = [rung(2, "LEADER", 300), rung(15, "TREE", 300), rung(9, "TREE", 2000)]
LOST = {"CANCEL": pb.ON_OWNER_LOST_CANCEL, "KILL": pb.ON_OWNER_LOST_KILL,
        "KEEP": pb.ON_OWNER_LOST_KEEP}


def refusal(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value


def test_ses_1_open_session(client):
    opened = client.opened
    assert opened.session_id >> 32 == opened.epoch == client.epoch
    assert (opened.major, opened.lease_ms) == (1, 10_000) and opened.version
    limits = opened.limits
    assert limits.max_message_bytes == 1 << 20 and limits.max_launch_bytes == (1 << 20) - (64 << 10)
    assert limits.max_read_bytes == (1 << 20) - 4096 and limits.max_rungs == 8
    assert (limits.takeover_ms, limits.max_hold_ms, limits.max_wait_ms) == (2000, 25_000, 86_400_000)
    assert all(getattr(limits, f.name) for f in limits.DESCRIPTOR.fields), limits
    assert opened.capabilities.subreaper and not opened.capabilities.nested
    info = client.info()
    assert (info.limits, info.capabilities) == (limits, opened.capabilities)


def test_ver_5_another_major_is_refused_and_the_connection_stays_usable(server):
    with Connection(server.url) as connection:
        client = Client(server.url, connection=connection)
        for major in (0, 2, 77):
            refused = refusal(lambda: client.call("OpenSession", major=major))
            assert refused.code == "FAILED_PRECONDITION" and refused.detail == "unsupported"
            assert (refused.value.major_min, refused.value.major_max) == (1, 1)
        assert client.call("OpenSession", major=1, minor=2**31).session_id


@pytest.mark.parametrize("lease_ms", [1, 999, 3_600_001, 2**63])
def test_ses_3_leases_out_of_range(client, lease_ms):
    refused = refusal(lambda: client.call("OpenSession", major=1, lease_ms=lease_ms))
    assert refused.code == "INVALID_ARGUMENT" and refused.value.path == "lease_ms"


@pytest.mark.parametrize("lease_ms", [1000, 3_600_000])
def test_ses_3_leases_in_range(client, lease_ms):
    assert client.call("OpenSession", major=1, lease_ms=lease_ms).lease_ms == lease_ms


def test_lim_3_client_names_are_bounded(client):
    client.call("OpenSession", major=1, client="x" * 128)
    refused = refusal(lambda: client.call("OpenSession", major=1, client="x" * 129))
    assert refused.code == "INVALID_ARGUMENT" and refused.value.path == "client"


def test_nst_1_nested_sessions_are_of_a_later_minor(client):
    assert refusal(lambda: client.spawn("/bin/true", nested=True)).code == "UNIMPLEMENTED"
    refused = refusal(lambda: client.call("OpenSession", major=1, token=b"x" * 32))
    assert refused.code == "UNIMPLEMENTED"


def test_env_2_requests_without_a_session(server, child):
    with Connection(server.url) as connection:
        client = Client(server.url, connection=connection)
        for method in ("KeepAlive", "CloseSession", "ListProcesses", "Spawn", "Cancel", "AwaitExit"):
            assert refusal(lambda: client.call(method, _session_id=0)).code == "UNAUTHENTICATED"
        assert client.start("GetServerInfo", _session_id=0)
        assert client.call("GetServerInfo", _session_id=0).epoch == client.epoch
        assert client.call("GetServerInfo", _session_id=12345).epoch == client.epoch


def test_ses_8_and_idn_5_sessions_that_are_not(client):
    unknown = client.session_id + 100_000
    refused = refusal(lambda: client.call("KeepAlive", _session_id=unknown))
    assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "session_expired")
    other = client.session_id ^ (1 << 40)
    refused = refusal(lambda: client.call("KeepAlive", _session_id=other))
    assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "epoch_changed")
    assert refused.value.epoch == client.epoch


def test_idn_5_and_idn_8_targets(client):
    epoch = client.epoch << 32
    for of, code, detail in ((epoch | 1 << 30, "NOT_FOUND", None),
                             (epoch ^ 1 << 40 | 1, "NOT_FOUND", "epoch_changed"),
                             ((epoch ^ 1 << 40 | 1, 1), "NOT_FOUND", "epoch_changed"),
                             ((epoch | 1 << 30, 1), "NOT_FOUND", None),
                             ((0, 10**6), "NOT_FOUND", None)):
        refused = refusal(lambda: client.poll(of))
        assert (refused.code, refused.detail) == (code, detail), of
    refused = refusal(lambda: client.call("AwaitExit"))
    assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", "target")
    refused = refusal(lambda: client.poll((0, 0)))
    assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", "target.spawn.request_id")


def test_ses_7_close_session(client, clients, child):
    one = clients()
    answer = one.spawn(child, "pause")
    parked = one.start("AwaitExit", target=pb.Target(process_id=answer.process_id), hold_ms=20_000)
    one.close_session()
    refused = refusal(lambda: one.result(parked))
    assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "session_expired")
    for again in (one.close_session, lambda: one.spawn("/bin/true"), lambda: one.call("KeepAlive")):
        refused = refusal(again)
        assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "session_expired")
    record = client.await_exit(answer)  # stays valid in another session (SES-8)
    assert (record.signal, record.cause, record.rung) == (9, pb.EXIT_CAUSE_OWNER_LOST, 3)
    assert client.await_exit((one.session_id, record.spawn_request_id)) == record


def check_owner_lost(watcher, answers, since, lease_s):
    """CANCEL climbs the short ladder, KILL kills, KEEP lives; none before the lease is over."""
    record = watcher.await_exit(answers["KILL"])
    assert lease_s - 0.002 <= time.monotonic() - since <= lease_s + LATE_S
    assert (record.signal, record.rung, record.cause) == (9, 3, pb.EXIT_CAUSE_OWNER_LOST)
    assert [e.skipped for e in record.journal] == [True, True, False]
    record = watcher.await_exit(answers["CANCEL"])
    assert lease_s + 0.598 <= time.monotonic() - since <= lease_s + 0.6 + LATE_S
    assert (record.signal, record.rung, record.cause) == (9, 3, pb.EXIT_CAUSE_OWNER_LOST)
    assert all(e.climber == pb.CLIMBER_NET and not e.skipped for e in record.journal)
    kept = watcher.find(answers["KEEP"])
    assert kept.owner_lost and kept.rung_reached == 0 and kept.state == pb.PROCESS_STATE_RUNNING
    assert not watcher.poll(answers["KEEP"]).done
    watcher.cancel(answers["KEEP"], rung=LAST)
    assert watcher.await_exit(answers["KEEP"]).cause == pb.EXIT_CAUSE_CANCEL


def spawn_each(client, child):
    answers = {}
    for name, policy in LOST.items():
        answers[name] = client.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe",
                                     ladder=SHORT, on_owner_lost=policy)
        client.read_until(answers[name], b"ready")
    return answers


def test_ses_9_close_session_does_what_on_owner_lost_says_at_once(clients, child):
    owner, watcher = clients(), clients()
    answers, since = spawn_each(owner, child), time.monotonic()
    owner.close_session()
    check_owner_lost(watcher, answers, since, 0)


def test_ses_5_a_closed_connection_begins_the_lease(clients, child):
    owner, watcher = clients(lease_ms=1000), clients()
    answers, since = spawn_each(owner, child), time.monotonic()
    owner.close_connection()
    check_owner_lost(watcher, answers, since, 1)


OWNER = """
import sys; sys.path.insert(0, sys.argv[1])
from plain_client import *
from test_session import spawn_each
c = Client(sys.argv[2], lease_ms=3_600_000)
print(*(a.process_id for a in spawn_each(c, sys.argv[3]).values()), flush=True)
sys.stdin.read()
"""


def test_ses_5_a_killed_owner_ends_its_lease_at_once(server, clients, child):
    watcher = clients()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, os.path.dirname(__file__), server.url,
                              child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ids = owner.stdout.readline().split()
    answers = {name: pb.SpawnResponse(process_id=int(number)) for name, number in zip(LOST, ids)}
    since = time.monotonic()
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    check_owner_lost(watcher, answers, since, 0)


def test_ses_4_an_open_connection_holds_the_session(clients, child):
    owner, watcher = clients(lease_ms=1000), clients()
    answer = owner.spawn(child, "pause")
    assert not watcher.poll(answer, hold_ms=1300).done
    assert owner.call("KeepAlive").lease_ms == 1000


def test_ses_5_a_new_connection_holds_it_again(clients, child):
    owner, watcher = clients(lease_ms=1000), clients()
    answer = owner.spawn(child, "pause")
    owner.close_connection()
    assert not watcher.poll(answer, hold_ms=500).done
    owner.connection = Connection(owner.url)
    owner.call("KeepAlive")
    assert not watcher.poll(answer, hold_ms=1200).done
    owner.close_connection()
    assert watcher.await_exit(answer).cause == pb.EXIT_CAUSE_OWNER_LOST
    owner.connection = Connection(owner.url)
    refused = refusal(lambda: owner.call("KeepAlive"))
    assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "session_expired")


def test_ses_4_a_second_connection_is_enough(server, clients, child):
    owner, watcher = clients(lease_ms=1000), clients()
    with Connection(server.url) as second:
        owner.result(owner.start("KeepAlive", connection=second))
        answer = owner.result(owner.start("Spawn", argv=[child.encode(), b"pause"],
                                          on_owner_lost=pb.ON_OWNER_LOST_KILL, connection=second))
        owner.close_connection()
        assert not watcher.poll(answer, hold_ms=1300).done
    assert watcher.await_exit(answer).cause == pb.EXIT_CAUSE_OWNER_LOST


def test_ses_9_a_start_in_progress_meets_it_too(server, clients, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    owner, watcher = clients(), clients()
    call = owner.start_spawn("/bin/sleep", "100", on_owner_lost=pb.ON_OWNER_LOST_KILL,
                             stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo)))
    wait_for(lambda: watcher.list(state=pb.PROCESS_STATE_STARTING), "it starts")
    with Connection(server.url) as other:
        owner.result(owner.start("CloseSession", connection=other))
    with open(fifo, "w"):
        record = watcher.await_exit(owner.key(call[3]))
    assert (record.signal, record.cause) == (9, pb.EXIT_CAUSE_OWNER_LOST)


def test_lad_25_an_owner_that_is_lost_takes_its_unlimited_wait_along(clients, child):
    owner, watcher = clients(), clients()
    answer = owner.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe",
                         ladder=SHORT, on_owner_lost=pb.ON_OWNER_LOST_CANCEL)
    owner.read_until(answer, b"ready")
    owner.cancel(answer, wait_ms=2**64 - 1)
    owner.close_session()
    record = watcher.await_exit(answer, timeout=5)
    assert (record.rung, record.cause) == (3, pb.EXIT_CAUSE_CANCEL)


def test_ses_9_a_climb_goes_on_from_the_rung_reached(clients, child):
    owner, watcher = clients(), clients()
    answer = owner.spawn(child, "ignore:2", "ignore:15", "ready", "pause", stdout="pipe",
                         ladder=SHORT, on_owner_lost=pb.ON_OWNER_LOST_CANCEL)
    owner.read_until(answer, b"ready")
    owner.cancel(answer, rung=2, wait_ms=300)
    owner.close_session()
    record = watcher.await_exit(answer)
    assert [(e.rung, e.skipped, e.climber) for e in record.journal] == [
        (1, True, pb.CLIMBER_CLIENT), (2, False, pb.CLIMBER_CLIENT), (3, False, pb.CLIMBER_NET)]
    assert 300 <= record.journal[2].at_ms - record.journal[1].at_ms <= 300 + 1000 * LATE_S


def test_idn_7_other_sessions_of_the_principal_may_do_everything_but_own(clients, child):
    owner, other = clients(), clients()
    answer = owner.spawn("/bin/cat", stdin="pipe", stdout="pipe")
    other.write_stdin(answer, 0, b"from the other")
    assert other.read_until(answer, b"other") == b"from the other"
    assert other.find(answer).session_id == owner.session_id
    other.signal(answer, 15)
    assert owner.await_exit(answer).cause == pb.EXIT_CAUSE_SIGNAL_CALL
    other.release(answer)


def test_srv_13_a_restart_is_another_epoch(child):
    epochs = set()
    for first in run_server():
        client = Client(first.url)
        epochs.add(client.epoch)
        old_session, old = client.session_id, client.spawn(child, "exit:0")
        client.close_connection()
    for second in run_server():
        client = Client(second.url)
        assert client.epoch not in epochs
        refused = refusal(lambda: client.call("KeepAlive", _session_id=old_session))
        assert (refused.code, refused.detail) == ("UNAUTHENTICATED", "epoch_changed")
        assert refused.value.epoch == client.epoch
        for of in (old.process_id, (old_session, 2)):
            refused = refusal(lambda: client.poll(of))
            assert (refused.code, refused.detail) == ("NOT_FOUND", "epoch_changed")
        client.close_connection()


def test_shd_5_a_server_that_is_killed_takes_everything_along(child):
    """Guard, root and broker in turn killed with -9: nothing of the server is left."""
    for victim in ("guard", "root", "broker"):
        for server in run_server():
            client = Client(server.url)
            for _ in range(10):
                client.spawn(child, "daemon", "ignore:15", "pause", "--", "ignore:15", "pause",
                             on_owner_lost=pb.ON_OWNER_LOST_KEEP, ladder=SHORT)
            parked = client.start("AwaitExit", hold_ms=20_000, target=pb.Target(
                process_id=client.list()[0].process_id))
            wait_for(lambda: len(descendants(server.pid)) == 22, "all ten trees are there")
            os.kill(getattr(server, victim), 9)
            server.wait(5)
            wait_for(lambda: not strays(zombies=False), f"{victim} killed: all is gone", timeout=3)
            for name in os.listdir(server.folder / "run"):
                os.unlink(server.folder / "run" / name)  # nobody was left to do it
            for pid in strays():  # dead, but left to us by a guard that was killed
                os.waitpid(pid, 0)
            assert client.connection.is_closed(5)
            del parked


def test_ins_2_a_page_fits_a_message(client, child):
    calls = [client.start_spawn(child, "pause", "x" * 5000) for _ in range(400)]
    answers = [client.result(call).process_id for call in calls]
    listed, token, pages = [], 0, 0
    while True:
        page = client.call("ListProcesses", page_size=2**32 - 1, page_token=token,
                           session_id=client.session_id)
        assert page.processes
        listed += [process.process_id for process in page.processes]
        token, pages = page.next_page_token, pages + 1
        if not token:
            break
    assert sorted(listed) == sorted(answers) and pages > 1


def test_ids_8_other_calls_leave_no_tombstone(client, child):
    request_id = client.new_id()
    key = client.key(request_id)
    for call in (lambda: client.signal(key, 15), lambda: client.release(key),
                 lambda: client.poll(key, hold_ms=50), lambda: client.read(key)):
        assert refusal(call).code == "NOT_FOUND"
    answer = client.result(client.start("Spawn", request_id=request_id, argv=[child.encode(), b"pause"],
                                        on_owner_lost=pb.ON_OWNER_LOST_KILL))
    assert answer.process_id


def test_ins_list_and_info(client, clients, child, server):
    other = clients()
    answers = [client.spawn(child, "pause", "x" * 5000, name=b"n%d" % i) for i in range(7)]
    mine = other.list(session_id=client.session_id)
    assert [p.process_id for p in mine] == [a.process_id for a in answers]
    first = mine[0]
    assert first.state == pb.PROCESS_STATE_RUNNING and first.pid == answers[0].pid
    assert sum(map(len, first.argv)) <= 4096 and first.argv[1] == b"pause"
    assert first.next_rung_ms == 2**64 - 1 and first.on_owner_lost == pb.ON_OWNER_LOST_KILL
    assert [p.name for p in other.list(name=b"n3")] == [b"n3"]
    pages, token = [], 0
    while True:
        page = other.call("ListProcesses", page_size=3, page_token=token,
                          session_id=client.session_id)
        assert len(page.processes) <= 3
        pages += [p.process_id for p in page.processes]
        token = page.next_page_token
        if not token:
            break
    assert pages == [a.process_id for a in answers]
    client.cancel(answers[0], rung=LAST)
    record = client.await_exit(answers[0])
    ended = client.mine(state=pb.PROCESS_STATE_ENDED)
    assert [p.exit for p in ended] == [record]
    only = other.list(target=pb.Target(process_id=answers[1].process_id))
    assert [p.process_id for p in only] == [answers[1].process_id]
    info = client.info()
    assert info.counters.processes == 6 and info.counters.sessions >= 2
    assert (info.guard_pid, info.major, info.epoch) == (server.pid, 1, client.epoch)
    assert not info.shutting_down and info.uptime_ms > 0
    for pid, name in ((info.guard_pid, "spawnd"), (info.root_pid, "spawnd"),
                      (info.broker_pid, BROKER.name)):
        assert open(f"/proc/{pid}/comm").read().strip() == name[:15]
