"""libspawnd against a scripted server: the climb (conformance.md CL-LAD).

Bounds: k1, the stamp after the next rung's request was read, less a0, the stamp before this rung's
answer was written, is at least the wait, on any machine under any load. Lateness proves nothing alone:
one attempt of five in time proves the ability."""
import time

import pytest
from peer import LAST, pb

SLACK_S = 0.25
ROUNDING_S = 0.001
WINDOW_S = 2.0


def gap(peer, low, high):
    """From the answer to rung low to the request of rung high."""
    answered = [c for c in peer.seen("Cancel", rung=low) if c.answered_at][0]
    return peer.seen("Cancel", rung=high)[0].at - answered.answered_at


def kill(peer, process):
    return peer.end(process.model, kind=pb.EXIT_KIND_SIGNALED, signal=9, cause=pb.EXIT_CAUSE_CANCEL)


def climb(opened, peer, spawn, **how):
    """A stop that needs the second rung."""
    process = spawn(**how)
    n_before = len(peer.seen("Cancel"))
    stopping = opened.start("stop", id=process.id)
    peer.wait_for(lambda: len(peer.seen("Cancel")) - n_before >= 2, "two rungs")
    kill(peer, process)
    return process, opened.answer(stopping), peer.seen("Cancel")[n_before:]


def in_time_once(attempt, attempts=5):
    """attempt() gives the lateness in seconds; one in time is enough."""
    late = []
    for _ in range(attempts):
        late.append(attempt())
        if late[-1] <= SLACK_S:
            return
    pytest.fail(f"late in each of {attempts} attempts: {late}")


@pytest.mark.parametrize("wait_ms", [400, 1000])
def test_lad_001_002_003_the_grace_is_never_early_and_once_in_time(opened, peer, spawn, wait_ms):
    def attempt():
        _, answer, (first, second) = climb(
            opened, peer, spawn, ladder=f"INT leader {wait_ms}ms, KILL tree 2s")
        assert (first.payload.rung, second.payload.rung) == (1, 2)
        assert first.payload.wait_ms == wait_ms and second.payload.wait_ms == 2000
        waited = second.at - first.answered_at
        assert waited >= wait_ms / 1000 - ROUNDING_S
        assert (answer["how"], answer["signal"]) == ("SIGNALED", "9")
        return waited - wait_ms / 1000
    in_time_once(attempt)


def test_lad_004_done_only_with_the_exit(opened, peer, spawn):
    process = spawn(ladder="INT leader 20s")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    peer.wait_for(lambda: peer.parked, "an await is parked")
    assert not opened.has_answered(stopping)
    at = peer.end(process.model, code=0)
    answer = opened.answer(stopping)
    assert answer.at >= at and answer["escalated"] == "0"


def test_lad_006_unreaped_past_the_last_wait(opened, peer, spawn):
    process = spawn(ladder="INT leader 100ms, KILL tree 700ms")
    answer = opened.call("stop", id=process.id)
    assert answer.kind == "unreaped"
    last = peer.seen("Cancel", rung=2)[0]
    assert answer.at - last.answered_at >= 0.7 - ROUNDING_S
    assert len(peer.seen("AwaitExit")) == 1 and peer.parked, "an await was outstanding all along"
    # The exit comes after all: a later stop finds it.
    kill(peer, process)
    assert opened.ok("stop", id=process.id)["signal"] == "9"


def test_lad_005_a_late_exit_after_the_last_rung_is_success(opened, peer, spawn):
    process = spawn(ladder="INT leader 50ms, KILL tree 10s")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 2))
    assert not opened.has_answered(stopping)
    kill(peer, process)
    answer = opened.answer(stopping)
    assert answer["escalated"] == "1"


def test_lad_007_no_further_rung_after_the_exit(opened, peer, spawn):
    process = spawn()
    stopping = opened.start("stop", id=process.id)
    peer.wait_for(lambda: peer.parked and process.model.rung, "cancelled")
    peer.end(process.model, code=0)
    opened.answer(stopping)
    time.sleep(0.6)  # past the grace: nothing may come
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1]


def test_lad_008_an_exit_at_the_last_moment(opened, peer, spawn):
    process = spawn()
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    peer.later(0.37, peer.end, process.model)
    assert opened.answer(stopping)["how"] == "EXITED"


def test_lad_009_exited_before(opened, peer, spawn):
    process = spawn()
    peer.end(process.model, code=11)
    assert opened.ok("stop", id=process.id)["code"] == "11"
    assert not peer.seen("Cancel", rung=2)


@pytest.mark.parametrize("rung, kind", [(1, 1), (2, 2)])
def test_lad_010_011_not_found_is_for_await_to_know(opened, peer, spawn, rung, kind):
    process = spawn()

    def handler(call):
        if call.payload.rung != rung:
            return peer.plain(call)
        call.refuse(pb.CODE_NOT_FOUND)
        peer.later(0.05, lambda: peer.end(process.model, kind=kind, **(
            {"code": 3} if kind == 1 else {"signal": 9})))
    peer.on("Cancel", handler)
    answer = opened.ok("stop", id=process.id)
    assert (answer["code"], answer["signal"]) == (("3", "0") if kind == 1 else ("0", "9"))


def test_not_found_by_both_is_lost(opened, peer, spawn):
    process = spawn()
    process.model.released = True
    peer.on("Cancel", lambda call: call.refuse(pb.CODE_NOT_FOUND))
    assert opened.call("stop", id=process.id).kind == "lost"


def test_lad_012_lost_answers_never_stall_the_climb(opened, peer, spawn):
    """Neither before the first attempt + wait, nor after the window + wait."""
    def attempt():
        process = spawn()
        n_before = len(peer.seen("Cancel"))
        began = time.monotonic()

        def handler(call):
            process.model.rung = max(process.model.rung, call.payload.rung)
            if call.payload.rung == 2:
                kill(peer, process)
        peer.on("Cancel", handler)
        assert opened.ok("stop", id=process.id)["signal"] == "9"
        cancels = peer.seen("Cancel")[n_before:]
        first = [c for c in cancels if c.payload.rung == 1]
        second = [c for c in cancels if c.payload.rung == 2]
        assert len(first) == 4 and len({c.body for c in first}) == 1
        for call, wanted in zip(first, [0, 0.25, 0.75, 1.75]):
            assert call.at - first[0].at >= wanted - 0.01
        assert second[0].at - began >= 0.4
        return second[0].at - first[0].at - WINDOW_S - 0.4
    in_time_once(attempt)


def test_lad_013_an_exit_without_any_answer(opened, peer, spawn):
    process = spawn(ladder="INT leader 10s")
    peer.on("Cancel", lambda call: None)
    stopping = opened.start("stop", id=process.id)
    peer.wait_for(lambda: peer.parked and peer.seen("Cancel"), "cancelled and awaited")
    peer.end(process.model, code=0)
    assert opened.answer(stopping)["code"] == "0"
    assert not peer.seen("Cancel", rung=2)


@pytest.mark.parametrize("code", [pb.CODE_UNIMPLEMENTED, pb.CODE_PERMISSION_DENIED,
                                  pb.CODE_INVALID_ARGUMENT, pb.CODE_INTERNAL,
                                  pb.CODE_FAILED_PRECONDITION, 4242])
def test_lad_014_015_a_refused_cancel_is_reported_and_climbed_over(opened, peer, spawn, code):
    process = spawn(ladder="INT leader 200ms, KILL tree 2s")

    def handler(call):
        if call.payload.rung == 1:
            return call.refuse(code)
        peer.plain(call)
        kill(peer, process)
    peer.on("Cancel", handler)
    stopping = opened.start("stop", id=process.id)
    assert opened.answer(stopping)["signal"] == "9"
    assert ("refused", 1) in opened.told(stopping)
    assert gap(peer, 1, 2) >= 0.2 - ROUNDING_S


@pytest.mark.parametrize("code", [pb.CODE_UNAVAILABLE, pb.CODE_RESOURCE_EXHAUSTED])
def test_a_busy_server_is_asked_again_for_the_rung(opened, peer, spawn, code):
    process = spawn(ladder="INT leader 5s")

    def handler(call):
        if len(peer.seen("Cancel")) < 3:
            return call.refuse(code, retry_after=pb.RetryAfter(ms=10))
        peer.plain(call)
        peer.end(process.model, code=1)
    peer.on("Cancel", handler)
    assert opened.ok("stop", id=process.id)["code"] == "1"
    assert len({c.body for c in peer.seen("Cancel")}) == 1


def test_lad_016_a_second_stop_asks_one_question(opened, peer, spawn):
    process = spawn()
    stopping = opened.start("stop", id=process.id)
    peer.wait_for(lambda: peer.parked and process.model.rung, "cancelled")
    peer.end(process.model, code=2)
    opened.answer(stopping)
    n_before = len(peer.calls)
    assert opened.ok("stop", id=process.id)["code"] == "2"
    assert len(peer.calls) - n_before <= 1 and len(peer.seen("Cancel")) == 1


def test_lad_017_two_stops_at_once_are_one_climb(opened, peer, spawn):
    process = spawn(ladder="INT leader 1s, KILL tree 2s")
    one = opened.start("stop", id=process.id, first_wait_ms=1000)
    opened.wait_told(one, ("answered", 1))
    two = opened.start("stop", id=process.id, first_wait_ms=400)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    answers = [opened.answer(tag) for tag in (one, two)]
    assert answers[0]["signal"] == answers[1]["signal"] == "9"
    first = peer.seen("Cancel", rung=1)
    assert [c.payload.wait_ms for c in first] == [1000, 400] and first[0].id != first[1].id
    assert len(peer.seen("Cancel", rung=2)) == 1 and len(peer.seen("AwaitExit")) == 1
    killed = peer.seen("Cancel", rung=2)[0].at
    assert killed - first[1].answered_at >= 0.4 - ROUNDING_S
    assert opened.told(two)[-1] == ("ended", 2)


def test_many_stops_at_once_get_the_same_record(opened, peer, spawn):
    process = spawn(ladder="INT leader 300ms, KILL tree 2s")
    tags = [opened.start("stop", id=process.id) for _ in range(20)]
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    assert {opened.answer(tag)["signal"] for tag in tags} == {"9"}
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1, 2]


def test_lad_018_no_wait_at_all(opened, peer, spawn):
    process = spawn(ladder="INT leader 0s, KILL tree 5s")
    stopping = opened.start("stop", id=process.id)
    peer.wait_seen("Cancel", count=2)
    kill(peer, process)
    opened.answer(stopping)
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1, 2]


@pytest.mark.parametrize("wait", ["forever", "24h"])
def test_lad_019_020_long_waits_mean_what_they_say(opened, peer, spawn, wait):
    process = spawn(ladder=f"INT leader {wait}")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    time.sleep(0.5)  # nothing may come
    assert [c.payload.wait_ms for c in peer.seen("Cancel")] == \
        [2**64 - 1 if wait == "forever" else 86400000]
    peer.end(process.model, code=0)
    opened.answer(stopping)
    assert len(peer.seen("Cancel")) == 1


def test_lad_020_what_is_over_24_hours_is_refused(opened, peer, spawn):
    process = spawn()
    for wait_ms in (86400001, 2**31, 2**63):
        assert opened.call("stop", id=process.id, first_wait_ms=wait_ms).kind == "argument"
    assert not peer.seen("Cancel")


@pytest.mark.parametrize("fields, wanted", [
    (dict(kind=1, code=143), ("EXITED", "143", "0")), (dict(kind=2, signal=15), ("SIGNALED", "0", "15")),
    (dict(kind=1, code=0), ("EXITED", "0", "0"))])
def test_lad_021_statuses_are_told_apart(opened, peer, spawn, fields, wanted):
    process = spawn(ladder="INT leader 10s")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    peer.end(process.model, **fields)
    answer = opened.answer(stopping)
    assert (answer["how"], answer["code"], answer["signal"]) == wanted and answer["escalated"] == "0"


@pytest.mark.parametrize("code", [pb.CODE_UNIMPLEMENTED, pb.CODE_PERMISSION_DENIED])
def test_lad_023_a_refused_kill(opened, peer, spawn, code):
    process = spawn(ladder="INT leader 50ms, KILL tree 400ms")
    peer.on("Cancel", lambda call: call.refuse(code) if call.payload.rung == 2 else peer.plain(call))
    stopping = opened.start("stop", id=process.id)
    assert opened.answer(stopping).kind == "unreaped"
    assert ("refused", 2) in opened.told(stopping)
    answer = opened.answer(stopping)
    assert answer.at - peer.seen("Cancel", rung=2)[0].answered_at >= 0.4 - ROUNDING_S


def test_lad_024_done_false_is_no_exit(opened, peer, spawn):
    process = spawn()
    peer.on("AwaitExit", lambda call: peer.plain(call) if process.model.exit else call.reply(
        pb.AwaitExitResponse(process_id=process.model.id)))
    stopping = opened.start("stop", id=process.id)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    assert opened.answer(stopping)["signal"] == "9"
    assert gap(peer, 1, 2) >= 0.4 - ROUNDING_S
    assert 2 < len(peer.seen("AwaitExit")) < 60, "asked again, and not without pause"


def test_lad_025_the_grace_counts_from_the_answer(opened, peer, spawn):
    process = spawn()
    peer.on("Cancel", lambda call: peer.later(0.2, peer.plain, call) if call.payload.rung == 1
            else (peer.plain(call), kill(peer, process)))
    opened.ok("stop", id=process.id)
    assert gap(peer, 1, 2) >= 0.4 - ROUNDING_S


def test_a_late_answer_never_starts_the_clock_anew(opened, peer, spawn):
    """Answered 2.2 s after the first attempt: the wait runs since 2.0 s at the latest."""
    def attempt():
        process = spawn(ladder="INT leader 1s, KILL tree 2s")
        n_before = len(peer.seen("Cancel"))
        peer.on("Cancel", lambda call: (peer.plain(call), kill(peer, process))
                if call.payload.rung == 2
                else len(peer.seen("Cancel")) == n_before + 1 and peer.later(2.2, peer.plain, call))
        opened.ok("stop", id=process.id)
        cancels = peer.seen("Cancel")[n_before:]
        second = [c for c in cancels if c.payload.rung == 2][0]
        assert second.at - cancels[0].at >= 1.0
        return second.at - cancels[0].at - WINDOW_S - 1.0 + 0.1
    in_time_once(attempt)


def test_lad_026_a_foreign_answer_is_not_the_kills(opened, peer, spawn):
    process = spawn(ladder="INT leader 100ms, KILL tree 3s")

    def handler(call):
        if call.payload.rung == 2 and len(peer.seen("Cancel", rung=2)) == 1:
            return call.reply(peer.cancelled(process.model), request_id=peer.seen("Cancel")[0].id)
        peer.plain(call)
        if call.payload.rung == 2:
            peer.later(0.1, kill, peer, process)
    peer.on("Cancel", handler)
    stopping = opened.start("stop", id=process.id)
    assert opened.answer(stopping)["signal"] == "9"
    assert len(peer.seen("Cancel", rung=2)) == 2


def test_lad_027_a_lost_kill_answer_repeats_the_kill(opened, peer, spawn):
    process = spawn(ladder="INT leader 100ms, KILL tree 5s")

    def handler(call):
        if call.payload.rung == 2 and len(peer.seen("Cancel", rung=2)) < 3:
            return
        peer.plain(call)
        if call.payload.rung == 2:
            kill(peer, process)
    peer.on("Cancel", handler)
    opened.ok("stop", id=process.id)
    assert len({c.body for c in peer.seen("Cancel", rung=2)}) == 1


def test_lad_028_the_leaders_exit_is_not_the_trees(opened, peer, spawn):
    process = spawn(ladder="INT leader 10s")
    stopping = opened.start("stop", id=process.id)
    poll = peer.wait_seen("AwaitExit")[0]
    assert poll.payload.until == pb.UNTIL_TREE_EMPTY
    leader = opened.start("await", id=process.id, until="leader")
    peer.wait_seen("AwaitExit", until=pb.UNTIL_LEADER_EXIT)[0].reply(pb.AwaitExitResponse(
        process_id=process.model.id, done=True, exit=process.model.record(code=0, tree_empty=False)))
    assert opened.answer(leader)["tree_empty"] == "0"
    assert not opened.has_answered(stopping)
    peer.end(process.model, code=0)
    assert opened.answer(stopping)["tree_empty"] == "1"


def test_lad_030_progress_in_order(opened, peer, spawn):
    process = spawn(ladder="INT leader 100ms, TERM tree 100ms, KILL tree 5s")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 3))
    kill(peer, process)
    opened.answer(stopping)
    assert opened.told(stopping) == [("sent", 1), ("answered", 1), ("sent", 2), ("answered", 2),
                                     ("sent", 3), ("answered", 3), ("ended", 3)]


def test_lad_031_a_restart_during_the_grace_is_lost(opened, peer, spawn):
    process = spawn(ladder="INT leader 3s, KILL tree 2s")
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    peer.restart()
    assert opened.answer(stopping).kind == "lost"
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1]


def test_lad_032_a_cut_connection_neither_hastens_nor_skips(opened, peer, spawn):
    process = spawn(ladder="INT leader 800ms, KILL tree 2s")

    def handler(call):
        peer.plain(call)
        if call.payload.rung == 1:
            peer.parked.clear()
            peer.later(0.02, peer.cut_all)
        else:
            kill(peer, process)
    peer.on("Cancel", handler)
    assert opened.ok("stop", id=process.id)["signal"] == "9"
    assert gap(peer, 1, 2) >= 0.8 - ROUNDING_S
    assert [c.payload.rung for c in peer.seen("Cancel")].count(2) == 1


def test_hurry_climbs_one_rung_a_byte_and_skips_nothing(opened, peer, spawn):
    process = spawn(ladder="INT leader 1h, TERM tree 1h, KILL tree 20s")
    stopping = opened.start("stop", id=process.id, hurry=1)
    for rung in (1, 2):
        opened.wait_told(stopping, ("answered", rung))
        opened.ok("hurry", of=stopping)
    opened.wait_told(stopping, ("answered", 3))
    opened.ok("hurry", of=stopping)  # nothing is above
    kill(peer, process)
    assert opened.answer(stopping)["signal"] == "9"
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1, 2, 3]
    assert opened.told(stopping).count(("hurried", 1)) == 1


def test_hurry_before_any_answer_still_cancels_first(opened, peer, spawn):
    process = spawn(ladder="INT leader 1h, KILL tree 20s")
    peer.on("Cancel", lambda call: None)
    stopping = opened.start("stop", id=process.id, hurry=1)
    peer.wait_seen("Cancel", rung=1)
    opened.ok("hurry", of=stopping)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    opened.answer(stopping)
    rungs = [c.payload.rung for c in peer.seen("Cancel")]
    assert rungs == sorted(rungs)


def test_a_second_stop_may_hurry_the_firsts_climb(opened, peer, spawn):
    process = spawn(ladder="INT leader 1h, KILL tree 20s")
    one = opened.start("stop", id=process.id)
    opened.wait_told(one, ("answered", 1))
    two = opened.start("stop", id=process.id, hurry=1)
    opened.wait_told(two, ("answered", 1))
    opened.ok("hurry", of=two)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    assert opened.answer(one)["signal"] == opened.answer(two)["signal"] == "9"


def test_a_rung_that_somebody_else_reached_is_joined(opened, peer, spawn):
    """The net, or another client, has climbed to the last rung: no lower one is asked for any more."""
    process = spawn(ladder="INT leader 300ms, TERM tree 300ms, KILL tree 600ms")
    process.model.rung = 3
    stopping = opened.start("stop", id=process.id)
    assert opened.answer(stopping).kind == "unreaped"
    assert [c.payload.rung for c in peer.seen("Cancel")] == [1]
    assert opened.answer(stopping).at - peer.seen("Cancel")[0].answered_at >= 0.6 - ROUNDING_S


def test_the_ladder_of_a_foreign_process_is_asked_for(driver, peer, spawn):
    process = spawn(ladder="HUP group 250ms, KILL tree 3s")
    driver.ok("open", client="other", url=peer.url)
    stopping = driver.start("stop", client="other", id=process.id)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    driver.answer(stopping)
    assert len(peer.seen("ListProcesses")) == 1
    assert peer.seen("Cancel")[0].payload.wait_ms == 250
    assert gap(peer, 1, 2) >= 0.25 - ROUNDING_S


def test_a_server_that_cannot_list_is_stopped_by_the_default_ladder(driver, peer, spawn):
    process = spawn(ladder="HUP group 250ms, KILL tree 3s")
    peer.on("ListProcesses", lambda call: call.refuse(pb.CODE_UNIMPLEMENTED))
    driver.ok("open", client="other", url=peer.url)
    stopping = driver.start("stop", client="other", id=process.id, first_wait_ms=100)
    peer.wait_seen("Cancel", rung=2)
    kill(peer, process)
    assert driver.answer(stopping)["signal"] == "9"
    assert peer.seen("Cancel", rung=2)[0].payload.wait_ms == 3000, "the answer told the ladder"


def test_a_stop_by_key_of_a_spawn_that_has_not_come(opened, peer):
    session = f"{list(peer.sessions)[0]:016x}"
    answer = opened.call("stop", session=session, request=4000)
    assert answer.kind == "cancelled"
    assert peer.seen("Cancel")[0].payload.rung == 1


def test_cancel_of_one_rung(opened, peer, spawn):
    process = spawn(ladder="INT leader 5s, TERM tree 1s")
    answer = opened.ok("cancel", id=process.id, rung=LAST, wait_ms=77, delegate=1)
    sent = peer.seen("Cancel")[0].payload
    assert (sent.rung, sent.wait_ms, sent.delegate) == (LAST, 77, True)
    assert (answer["reached"], answer["n_rungs"]) == ("3", "3")
    for rung in (0, 9, 254, 256):
        assert opened.call("cancel", id=process.id, rung=rung).kind == "argument"


def test_twenty_five_are_stopped_in_the_time_of_one(opened, peer, spawn):
    """GRP-1, GRP-2 by threads: every first rung is out before any answer is needed."""
    processes = {p.model.id: p for p in (spawn() for _ in range(25))}
    held = []

    def handler(call):
        if call.payload.rung == 1:
            held.append(call)
        else:
            peer.plain(call)
            kill(peer, processes[call.payload.target.process_id])
    peer.on("Cancel", handler)
    began = time.monotonic()
    tags = [opened.start("stop", id=p.id) for p in processes.values()]
    peer.wait_for(lambda: len({c.payload.target.process_id for c in peer.seen("Cancel")}) == 25,
                  "25 Cancels")
    for call in list(held):
        peer.plain(call)
    assert {opened.answer(tag)["signal"] for tag in tags} == {"9"}
    assert time.monotonic() - began < 5
