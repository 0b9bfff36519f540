"""libspawnd against a scripted server: attempts, answers, limits (conformance.md CL-RPC)."""
import os
import random
import struct
import time

import pytest
from peer import pb


def drop_first(peer, method, n):
    """The first n attempts of each call are lost."""
    seen = {}

    def handler(call):
        seen[call.id] = seen.get(call.id, 0) + 1
        if seen[call.id] > n:
            peer.plain(call)
        elif method == "Spawn":
            peer.make(call)  # done, and the answer lost
    peer.on(method, handler)


def test_rpc_01_ids_are_unique_and_the_floor_waits_for_unsettled_spawns(opened, peer):
    chance = random.Random(1)

    def handler(call):
        peer.make(call)
        if len([c for c in peer.seen("Spawn") if c.id == call.id]) > 1 or chance.random() < 0.7:
            peer.plain(call)
    peer.on("Spawn", handler)
    tags = []
    for i in range(200):
        if i >= 16:
            opened.answer(tags[i - 16])
        tags.append(opened.start("spawn", argv=[f"n{i}"]))
    assert len({opened.answer(tag)["id"] for tag in tags}) == 200
    content, floor = {}, 0
    answered = {c.id: c.answered_at for c in peer.seen("Spawn") if c.answered_at}
    for call in peer.seen("Spawn"):
        assert content.setdefault(call.id, call.request.payload) == call.request.payload
        assert call.id >= floor, "sent below an announced floor"
        floor = max(floor, call.request.floor)
        # Whatever lies below the floor was answered before this request came.
        assert all(answered[i] <= call.at for i in content if i < call.request.floor)
    assert len(content) == 200 and min(content) >= 1


def test_rpc_02_a_lost_spawn_answer_is_asked_for_again_with_the_same_bytes(opened, peer):
    drop_first(peer, "Spawn", 1)
    opened.ok("spawn", argv=["x", "y"])
    first, second = peer.seen("Spawn")
    assert first.body == second.body and len(peer.processes) == 1
    assert 0.24 <= second.at - first.at < 1


def test_rpc_03_a_lost_cancel_answer(opened, peer, spawn):
    process = spawn()
    drop_first(peer, "Cancel", 2)
    assert opened.ok("cancel", id=process.id)["reached"] == "1"
    attempts = peer.seen("Cancel")
    assert len(attempts) == 3 and len({c.body for c in attempts}) == 1
    assert attempts[1].at - attempts[0].at >= 0.24 and attempts[2].at - attempts[1].at >= 0.49


def test_rpc_04_a_doubled_answer_is_not_taken_for_the_next_calls(opened, peer):
    def twice(call):
        peer.plain(call)
        peer.plain(call)
    peer.on("Spawn", twice)
    ids = [opened.ok("spawn", argv=["x"])["id"] for _ in range(20)]
    assert len(set(ids)) == 20


def test_rpc_05_the_first_attempts_late_answer_counts_once(opened, peer):
    def handler(call):
        attempts = peer.seen("Spawn")
        peer.make(call)
        if len(attempts) == 2:
            for attempt in reversed(attempts):
                peer.plain(attempt)
    peer.on("Spawn", handler)
    opened.ok("spawn", argv=["x"])
    peer.on("Spawn", peer.plain)
    opened.ok("spawn", argv=["y"])
    assert len(peer.processes) == 2


def test_the_first_valid_answer_of_any_attempt_wins(opened, peer):
    """A held first attempt that is answered after the second went out is as good."""
    def handler(call):
        attempts = peer.seen("Spawn")
        if len(attempts) == 2:
            peer.plain(attempts[0])
    peer.on("Spawn", handler)
    opened.ok("spawn", argv=["x"])


def test_rpc_06_foreign_answers_are_ignored(opened, peer):
    def handler(call):
        if len(peer.seen("Spawn")) == 1:
            call.reply_raw(call.response(peer.make(call).spawned()).SerializeToString(),
                           transport_id=call.transport_id ^ 0x10000)
            call.reply(peer.make(call).spawned(), request_id=call.id + 1000)
        else:
            peer.plain(call)
    peer.on("Spawn", handler)
    opened.ok("spawn", argv=["x"])
    first, second = peer.seen("Spawn")
    assert first.body == second.body and second.at - first.at >= 0.24, "the foreign answer was taken"


def test_rpc_08_an_unknown_kind_of_exit_is_unrecognised(opened, peer, spawn):
    process = spawn()
    peer.end(process.model, kind=77, cause=99)
    answer = opened.ok("await", id=process.id)
    assert (answer["how"], answer["cause"]) == ("UNRECOGNISED", "UNRECOGNISED")


def test_rpc_09_an_unknown_status_is_an_unknown_error(opened, peer):
    peer.on("Spawn", lambda call: call.refuse(4242))
    answer = opened.call("spawn", argv=["x"])
    assert (answer.kind, answer["code"]) == ("unknown", "4242")


def test_rpc_10_unimplemented_is_a_typed_error_without_repetition(opened, peer, spawn):
    process = spawn()
    peer.on("AwaitExit", lambda call: call.refuse(pb.CODE_UNIMPLEMENTED))
    assert opened.call("await", id=process.id).kind == "unsupported"
    assert len(peer.seen("AwaitExit")) == 1


def test_rpc_11_an_await_that_is_never_answered_says_so(driver, peer):
    driver.ok("open", url=peer.url, timeout_ms=800)
    process = driver.ok("spawn", argv=["x"])
    peer.on("AwaitExit", lambda call: None)
    began = time.monotonic()
    assert driver.call("await", id=process["id"], timeout_ms=600).kind == "indeterminate"
    assert time.monotonic() - began < 4


def test_an_await_whose_time_is_over_is_no_error_of_anybody(opened, peer, spawn):
    process = spawn()
    assert opened.call("await", id=process.id, timeout_ms=300).kind == "timeout"
    assert opened.call("await", id=process.id, timeout_ms=0).kind == "timeout"
    peer.end(process.model, code=5)
    assert opened.ok("await", id=process.id, timeout_ms=0)["code"] == "5"


def test_rpc_12_attempts_are_bounded_and_their_gaps_do_not_shrink(opened, peer):
    peer.on("Spawn", lambda call: None)
    peer.on("Cancel", lambda call: None)
    assert opened.call("spawn", argv=["x"], timeout_ms=6500).kind == "indeterminate"
    times = [c.at for c in peer.seen("Spawn")]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert len(times) == 6, gaps  # 0, 0.25, 0.75, 1.75, 3.75, 5.75 s
    for gap, wanted in zip(gaps, [0.25, 0.5, 1, 2, 2]):
        assert wanted - 0.01 <= gap < wanted + 1, gaps


def test_rpc_13_what_is_over_the_limit_is_not_sent(opened, peer):
    n_before = len(peer.calls)
    answer = opened.call("spawn", argv=["x", "a" * (1 << 20)])
    assert answer.kind == "argument", dict(answer)
    answer = opened.call("spawn", argv=["x"], env=["A=" + "b" * ((1 << 20) - 65536)])
    assert answer.kind == "argument"
    assert len(peer.calls) == n_before and peer.largest < 1 << 20


def test_rpc_14_an_answer_over_the_limit_is_survived(driver, peer):
    driver.ok("open", url=peer.url, timeout_ms=3000)
    process = driver.ok("spawn", argv=["x"])
    model = peer.processes[int(process["id"], 16)]
    just_below = (1 << 20) - 4 - 200

    def handler(call):
        model.exit = model.record(pb.EXIT_KIND_LOST, lost_reason="r" * size)
        call.reply(peer.awaited(model))
    peer.on("AwaitExit", handler)
    size = just_below
    assert driver.ok("await", id=process["id"])["how"] == "LOST"
    size = just_below + 400
    began = time.monotonic()
    answer = driver.call("await", id=process["id"])
    assert answer.kind in ("protocol", "indeterminate", "unreachable"), dict(answer)
    assert time.monotonic() - began < 30
    driver.ok("spawn", argv=["other"])


@pytest.mark.parametrize("garbage", ["truncated", "random", "no status", "no epoch", "short", "long"])
def test_rpc_15_malformed_answers(opened, peer, garbage):
    def handler(call):
        if len(peer.seen("Spawn")) > 1:
            return peer.plain(call)
        good = call.response(peer.make(call).spawned())
        if garbage == "truncated":
            call.reply_raw(good.SerializeToString()[:-3])
        elif garbage == "random":
            call.reply_raw(random.Random(2).randbytes(200))
        elif garbage == "no status":
            good.ClearField("status")
            call.reply_raw(good.SerializeToString())
        elif garbage == "no epoch":
            good.epoch = 0
            call.reply_raw(good.SerializeToString())
        elif garbage == "short":
            call.connection.write_bytes(b"\x01" + struct.pack(">Q", 2) + b"ab")
        else:
            call.connection.write_bytes(b"\x01" + struct.pack(">QI", 1 << 62, call.transport_id))
    peer.on("Spawn", handler)
    opened.ok("spawn", argv=["x"])
    assert len(peer.processes) == 1 and len({c.body for c in peer.seen("Spawn")}) == 1
    opened.ok("spawn", argv=["y"])


def test_rpc_16_close_means_close(opened, peer):
    peer.deafen()
    peer.cut_all()
    opened.ok("close")
    peer.listen()
    n_before = len(peer.connections)
    time.sleep(1.5)  # more than the longest pause between connection attempts: nobody may come
    assert len(peer.connections) == n_before


def test_rpc_17_a_parked_await_holds_up_nobody(opened, peer, spawn):
    one, two = spawn(), spawn()
    waiting = opened.start("await", id=one.id)
    peer.wait_for(lambda: peer.parked, "parked")
    opened.ok("cancel", id=two.id)
    also = opened.start("await", id=two.id)
    peer.wait_for(lambda: len(peer.parked) == 2, "both parked")
    peer.end(two.model, code=2)
    assert opened.answer(also)["code"] == "2" and not opened.has_answered(waiting)
    peer.end(one.model, code=1)
    assert opened.answer(waiting)["code"] == "1"
    assert len(peer.seen("AwaitExit")) == 2


def test_rpc_18_the_await_outlives_the_kill(opened, peer, spawn):
    process = spawn(ladder="INT leader 100ms, KILL tree 5s")
    stopping = opened.start("stop", id=process.id)
    peer.wait_seen("Cancel", rung=2)
    assert len(peer.seen("AwaitExit")) == 1
    peer.end(process.model, kind=pb.EXIT_KIND_SIGNALED, signal=9)
    assert opened.answer(stopping)["signal"] == "9"


@pytest.mark.parametrize("code", [pb.CODE_UNAVAILABLE, pb.CODE_RESOURCE_EXHAUSTED])
def test_rpc_19_a_retry_hint_is_honoured(opened, peer, code):
    def handler(call):
        if len(peer.seen("Spawn")) == 1:
            call.refuse(code, retry_after=pb.RetryAfter(ms=700))
        else:
            peer.plain(call)
    peer.on("Spawn", handler)
    opened.ok("spawn", argv=["x"])
    first, second = peer.seen("Spawn")
    assert second.at - first.answered_at >= 0.7 and first.id == second.id


def test_a_retry_hint_beyond_the_deadline_is_handed_on(opened, peer):
    peer.on("Spawn", lambda call: call.refuse(pb.CODE_UNAVAILABLE,
                                              retry_after=pb.RetryAfter(ms=60000)))
    answer = opened.call("spawn", argv=["x"], timeout_ms=2000)
    assert (answer.kind, answer["retry_after_ms"]) == ("unavailable", "60000")
    peer.on("Spawn", lambda call: call.refuse(pb.CODE_RESOURCE_EXHAUSTED,
                                              limit=pb.Limit(name="max_processes", max=1)))
    answer = opened.call("spawn", argv=["x"])
    assert (answer.kind, answer["field"]) == ("limit", "max_processes")


def test_rpc_20_a_cut_connection_re_issues_the_await(opened, peer, spawn):
    process = spawn()
    waiting = opened.start("await", id=process.id)
    peer.wait_for(lambda: peer.parked, "parked")
    peer.parked.clear()
    peer.cut_all()
    peer.wait_for(lambda: peer.parked, "parked again")
    peer.end(process.model, code=6)
    assert opened.answer(waiting)["code"] == "6"


def test_a_cut_connection_repeats_a_spawn_with_the_same_bytes(opened, peer):
    def handler(call):
        peer.make(call)
        if len(peer.seen("Spawn")) == 1:
            call.cut()
        else:
            peer.plain(call)
    peer.on("Spawn", handler)
    began = time.monotonic()
    opened.ok("spawn", argv=["x"])
    assert time.monotonic() - began < 2
    assert len({c.body for c in peer.seen("Spawn")}) == 1 and len(peer.processes) == 1


def test_a_server_that_goes_ends_a_wait_in_bounded_time(driver, peer):
    """L12: a wait ends with a record or a typed loss."""
    driver.ok("open", url=peer.url, timeout_ms=1500)
    process = driver.ok("spawn", argv=["x"])
    waiting, stopping = driver.start("await", id=process["id"]), driver.start("stop", id=process["id"])
    peer.wait_seen("AwaitExit", count=2)
    peer.deafen()
    peer.cut_all()
    assert driver.answer(waiting, limit_s=15).kind == "unreachable"
    assert driver.answer(stopping, limit_s=15).kind == "unreachable"


def test_refusals_are_typed(opened, peer, spawn):
    process = spawn()
    for code, detail, kind in [
            (pb.CODE_PERMISSION_DENIED, {}, "denied"), (pb.CODE_INTERNAL, {}, "protocol"),
            (pb.CODE_INVALID_ARGUMENT, {"field": pb.Field(path="argv[1]")}, "argument"),
            (pb.CODE_ALREADY_EXISTS, {"already_exists": pb.AlreadyExists(process_id=77)}, "exists"),
            (pb.CODE_CANCELLED, {}, "cancelled"), (pb.CODE_FAILED_PRECONDITION, {}, "state")]:
        peer.on("Spawn", lambda call: call.refuse(code, message="in words", **detail))
        answer = opened.call("spawn", argv=["x"])
        assert (answer.kind, answer["msg"]) == (kind, "in words")
        if kind == "argument":
            assert answer["field"] == "argv[1]"
        if kind == "exists":
            assert int(answer["process"], 16) == 77
    opened.ok("release", id=process.id)
    opened.ok("release", id=process.id)
    assert opened.call("await", id=process.id).kind == "lost"


def test_impossible_records_are_a_protocol_error(opened, peer):
    def wrong(call):
        process = peer.find(call.payload.target)
        call.reply(pb.AwaitExitResponse(process_id=process.id, done=True, exit=make(process)))
    peer.on("AwaitExit", wrong)
    for make in (lambda p: p.record(code=256), lambda p: p.record(2, signal=0),
                 lambda p: p.record(2, signal=65), lambda p: p.record(3), lambda p: None,
                 lambda p: p.record(code=0, tree_empty=False)):
        process = opened.ok("spawn", argv=["x"])
        assert opened.call("await", id=process["id"]).kind == "protocol"


def test_streams_and_lists(opened, peer):
    ids = [opened.ok("spawn", argv=["x"], stdin="pipe", stdout="pipe")["id"] for _ in range(5)]
    chunk = opened.ok("read", id=ids[0], offset=3, max=4)
    assert (chunk["offset"], chunk["data"], chunk["eof"]) == ("3", "3456", "0")
    assert opened.ok("read", id=ids[0], offset=10)["eof"] == "1"
    assert opened.call("read", id=ids[0], offset=2, release=3).kind == "argument"
    state = opened.ok("write", id=ids[0], data="d" * 150000, close=1)
    assert (state["offset"], state["closed"]) == ("150000", "1")
    writes = peer.seen("WriteStdin")
    assert [(c.payload.offset, len(c.payload.data), c.payload.close) for c in writes] == \
        [(0, 65536, False), (65536, 65536, False), (131072, 18928, True)]
    assert [p[0] for p in opened.ok("list").processes] == ids
    assert len(peer.seen("ListProcesses")) == 3
    assert opened.ok("list", id=ids[1]).processes[0][0] == ids[1]
    assert opened.ok("info")["version"] == "peer"
    assert opened.ok("signal", id=ids[0], signal=10)["hit"] == "1"


def test_output_that_cannot_be_believed(opened, peer):
    process = opened.ok("spawn", argv=["x"])
    for answer in (dict(offset=4, data=b"x"), dict(offset=5, data=b"12345"), dict(offset=5, eof=9)):
        peer.on("ReadOutput", lambda call: call.reply(pb.ReadOutputResponse(**answer)))
        assert opened.call("read", id=process["id"], offset=5, max=4).kind == "protocol"


def test_ipc_and_tcp_speak_alike(driver, make_peer, transport):
    peer = make_peer(transport)
    driver.ok("open", url=peer.url, token="secret")
    process = driver.ok("spawn", argv=["x"], hold_ms=50)
    waiting = driver.start("await", id=process["id"])
    peer.wait_for(lambda: peer.parked, "parked")
    peer.end(peer.processes[int(process["id"], 16)], code=9)
    assert driver.answer(waiting)["code"] == "9"
    assert peer.seen("Spawn")[0].request.access_token == b"secret"
    driver.ok("close")


def test_two_hundred_calls_at_once(opened, peer):
    """One connection, a context for each: no call waits for another, and no descriptor is left."""
    ids = [opened.ok("spawn", argv=["x"])["id"] for _ in range(200)]
    waiting = [opened.start("await", id=i) for i in ids]
    peer.wait_for(lambda: len(peer.parked) == 200, "all parked")
    n_files = len(os.listdir(f"/proc/{opened.process.pid}/fd"))
    for i in ids:
        peer.end(peer.processes[int(i, 16)], code=int(i, 16) % 200)
    for tag, i in zip(waiting, ids):
        assert int(opened.answer(tag)["code"]) == int(i, 16) % 200
    assert len(peer.connections) == 1
    assert len(os.listdir(f"/proc/{opened.process.pid}/fd")) <= n_files
