"""Long runs: nothing grows, nothing is lost."""
import os
import resource
import time

import pytest
from conftest import descendants, wait_for
from plain_client import Refused, pb, rung
from test_lessons import exits_in_one_instant

pytestmark = pytest.mark.soak


def round_trip(client, true):
    answer = client.spawn(true)
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.tree_empty) == (pb.EXIT_KIND_EXITED, 0, True)
    client.release(answer)
    client.floor = client.next_id + 1


def in_flight(client, true, count, most=16):
    """count processes, most of them at once, each awaited and released."""
    for begin in range(0, count, most):
        calls = [client.start_spawn(true, hold_ms=1000) for _ in range(min(most, count - begin))]
        answers = [client.result(call) for call in calls]
        for answer in answers:
            record = answer.exit if answer.HasField("exit") else client.await_exit(answer)
            assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 0)
        calls = [client.start("Release", target=pb.Target(process_id=a.process_id)) for a in answers]
        for call in calls:
            client.result(call)
        client.floor = client.next_id + 1


def check_flat(server, client, act):
    """What act does leaves memory, descriptors, threads and processes of the server as they were."""
    rss, descriptors = server.rss_kib(), server.descriptors()
    act()
    grown = [now - then for now, then in zip(server.rss_kib(), rss)]
    print(f"resident set of root, broker: {rss} KiB, grown by {grown} KiB")
    assert all(kib < 1024 for kib in grown)
    server.check_descriptors(descriptors)
    assert len(descendants(server.pid)) == 2 and client.info().counters.records == 0
    for pid in (server.guard, server.root):
        assert len(os.listdir(f"/proc/{pid}/task")) == 1


def test_10_000_times_spawn_await_release(server, client, true):
    # The root's tables are as large as they will be, but their pages come when they are first used.
    in_flight(client, true, 10_000)
    check_flat(server, client, lambda: [round_trip(client, true) for _ in range(10_000)])


def test_10_000_with_16_in_flight(server, client, true):
    in_flight(client, true, 10_000)
    check_flat(server, client, lambda: in_flight(client, true, 10_000))


def test_l9_10_000_exits_in_one_instant(server, client, child):
    most = min(client.limits.max_processes, 10_000, resource.getrlimit(resource.RLIMIT_NPROC)[0] % 2**63)
    if most < 10_000:
        pytest.skip(f"this machine allows {most} processes")
    exits_in_one_instant(server, client, child, 10_000)
    wait_for(lambda: len(descendants(server.pid)) == 2, "no zombie")


def test_row_57_10_000_stubborn_children_share_one_budget(server, client, child):
    ladder = [rung(2, "LEADER", 1000), rung(15, "TREE", 1000), rung(9, "TREE", 5000)]
    targets = []
    for _ in range(20):
        calls = [client.start_spawn(child, "ignore:2", "ignore:15", "pause", ladder=ladder)
                 for _ in range(500)]
        targets += [pb.Target(process_id=client.result(call).process_id) for call in calls]
        client.floor = client.next_id + 1
    begin = time.monotonic()
    cancels, waits = [], []
    for target in targets:
        cancels.append(client.start("Cancel", target=target, rung=1, wait_ms=1000, delegate=True))
        if len(cancels) == 2000:
            assert all(client.result(call).rung_reached for call in cancels)
            client.floor, cancels = client.next_id + 1, []
    asked = time.monotonic() - begin
    for target in targets:
        waits.append(client.start("AwaitExit", target=target, hold_ms=25_000))
    records = [client.result(wait).exit for wait in waits]
    took = time.monotonic() - begin
    print(f"10,000 cancels were out after {asked:.1f} s, all had ended after {took:.1f} s")
    assert all(r.tree_empty and r.cause == pb.EXIT_CAUSE_CANCEL for r in records)
    assert took < asked + 2 + 10
    assert len(descendants(server.pid)) == 2
    for target in targets:
        client.call("Release", target=target)
        client.floor = client.next_id + 1


def test_ext_9_16_384_unreleased_records(server, client, true):
    most = client.limits.max_unreleased
    target = []
    for number in range(0, most, 64):
        calls = [client.start_spawn(true) for _ in range(64)]
        target += [client.result(call).process_id for call in calls]
        client.floor = client.next_id + 1
    wait_for(lambda: client.info().counters.processes == 0, "all have ended")
    with pytest.raises(Refused) as refused:
        client.spawn(true)
    assert refused.value.code == "RESOURCE_EXHAUSTED" and refused.value.value.name == "max_unreleased"
    assert client.await_exit(target[0]).code == 0  # nothing unread was dropped
    client.release(target[0])
    assert client.spawn(true).process_id
