"""libspawnd against a scripted server: spawns (conformance.md CL-SPN)."""
import time

from peer import LAST, pb


def silent(peer):
    """Carries a Spawn out and says nothing."""
    return lambda call: peer.make(call) and None


def test_spn_01_one_spawn(opened, peer, spawn):
    process = spawn()
    peer.end(process.model, code=0)
    answer = opened.ok("await", id=process.id)
    assert (answer["how"], answer["code"]) == ("EXITED", "0")
    assert len(peer.seen("Spawn")) == 1


def test_spn_02_arguments_and_environment_arrive_byte_for_byte(opened, peer):
    argv = ["p", "", b"\xff\xfe\x80", "a=b", " ", "%"] + [f"n{i}" for i in range(1000)]
    env = ["A=", "B=x=y", b"C=\xc3\x28", "D=" + "v" * 5000]
    opened.ok("spawn", argv=argv, env=env, cwd="/tmp", program="/bin/x", name="n")
    sent = peer.seen("Spawn")[0].payload
    as_bytes = [a.encode() if isinstance(a, str) else a for a in argv]
    assert list(sent.argv) == as_bytes
    assert [(v.name, v.value) for v in sent.env] == \
        [(b"A", b""), (b"B", b"x=y"), (b"C", b"\xc3\x28"), (b"D", b"v" * 5000)]
    assert (sent.cwd, sent.program, sent.name) == (b"/tmp", b"/bin/x", b"n")


def test_spn_03_a_failed_start_is_a_typed_error(opened, peer):
    peer.on("Spawn", lambda call: call.refuse(pb.CODE_FAILED_PRECONDITION, start_failed=pb.StartFailed(
        stage=pb.START_STAGE_EXEC, errno_code=2)))
    answer = opened.call("spawn", argv=["x"])
    assert (answer.kind, answer["stage"], answer["errno"]) == ("start_failed", "exec", "2")
    assert "No such file" in answer["msg"]


def test_spn_04_an_indeterminate_spawn_is_cancelled_by_its_key(opened, peer):
    peer.on("Spawn", silent(peer))
    answer = opened.call("spawn", argv=["x"], timeout_ms=600)
    assert answer.kind == "indeterminate"
    cancel = peer.seen("Cancel")[0]
    key = cancel.payload.target.spawn
    spawned = peer.seen("Spawn")[0]
    assert (key.session_id, key.request_id) == (spawned.request.session_id, spawned.id)
    assert cancel.payload.rung == LAST and cancel.payload.delegate
    assert cancel.request.floor <= spawned.id, "the floor passed an indeterminate Spawn"
    assert answer["more"] == f"{key.session_id:016x}:{key.request_id}"
    # The Cancel's answer has settled it.
    peer.on("Spawn", peer.plain)
    opened.ok("spawn", argv=["y"])
    assert peer.seen("Spawn")[-1].request.floor > spawned.id


def test_spn_04_the_floor_waits_until_somebody_says_how_it_went(opened, peer):
    peer.on("Spawn", lambda call: None)
    peer.on("Cancel", lambda call: None)
    assert opened.call("spawn", argv=["x"], timeout_ms=400).kind == "indeterminate"
    lost = peer.seen("Spawn")[0].id
    peer.on("Spawn", peer.plain)
    for _ in range(3):
        opened.ok("spawn", argv=["y"])
        assert peer.seen("Spawn")[-1].request.floor <= lost
    # The library goes on asking by itself.
    n_before = len(peer.seen("Cancel"))
    peer.on("Cancel", peer.plain)
    peer.wait_for(lambda: [c for c in peer.seen("Cancel")[n_before:] if c.answered_at], "asked again")
    until = time.monotonic() + 20
    while peer.seen("Spawn")[-1].request.floor <= lost:
        assert time.monotonic() < until, "the floor does not go on"
        opened.ok("spawn", argv=["z"])


def test_spn_06_no_answer_to_the_cancel_either_is_still_indeterminate(opened, peer):
    peer.on("Spawn", lambda call: None)
    peer.on("Cancel", lambda call: None)
    began = time.monotonic()
    assert opened.call("spawn", argv=["x"], timeout_ms=500).kind == "indeterminate"
    assert time.monotonic() - began < 0.5 + 1 + 0.7
    assert peer.wait_seen("Cancel")


def test_spn_05_the_caller_can_stop_it_by_the_key(opened, peer):
    peer.on("Spawn", silent(peer))
    peer.on("Cancel", lambda call: None)
    answer = opened.call("spawn", argv=["x"], timeout_ms=400)
    peer.on("Cancel", peer.plain)
    session, request = answer["more"].split(":")
    stopping = opened.start("stop", session=session, request=request)
    process = next(iter(peer.processes.values()))
    peer.wait_for(lambda: peer.parked, "the await is parked")
    peer.end(process, kind=pb.EXIT_KIND_SIGNALED, signal=9)
    assert opened.answer(stopping)["signal"] == "9"


def test_spn_07_a_spawn_that_never_left_never_leaves(driver, peer):
    driver.ok("open", url=peer.url)
    peer.deafen()
    peer.cut_all()
    answer = driver.call("spawn", argv=["x"], timeout_ms=500)
    assert answer.kind in ("unreachable", "indeterminate"), dict(answer)
    was_sent = answer.kind == "indeterminate"  # the loss was not noticed before it was written
    peer.listen()
    assert driver.call("info", limit_s=20).ok
    assert not peer.seen("Spawn") or was_sent


def test_spn_08_equal_pids_are_no_identity(opened, peer, spawn):
    one, two = spawn(), spawn()
    opened.ok("cancel", id=two.id)
    assert [c.payload.target.process_id for c in peer.seen("Cancel")] == [int(two.id, 16)]
    assert one.model.rung == 0


def test_spn_10_a_spawn_that_has_ended_needs_no_cancel(opened, peer):
    def handler(call):
        process = peer.make(call)
        process.exit = process.record(code=3)
        call.reply(process.spawned())
    peer.on("Spawn", handler)
    process = opened.ok("spawn", argv=["x"], hold_ms=100)
    assert (process["how"], process["code"]) == ("EXITED", "3")
    assert opened.ok("await", id=process["id"])["code"] == "3"
    assert opened.ok("stop", id=process["id"])["code"] == "3"
    assert not peer.seen("Cancel")


def test_a_spawn_over_several_attempts_whose_session_ends_is_not_done_twice(opened, peer):
    """The first attempt may have been carried out: only a Cancel by key can tell."""
    def handler(call):
        if len(peer.seen("Spawn")) == 1:
            peer.make(call)
            return
        peer.sessions.clear()
        peer.plain(call)
    peer.on("Spawn", handler)
    assert opened.call("spawn", argv=["x"]).kind == "indeterminate"
    assert len(peer.processes) == 1 and peer.seen("Cancel")


def test_a_restart_in_the_middle_of_a_spawn(opened, peer):
    def handler(call):
        peer.on("Spawn", peer.plain)
        peer.restart()
    peer.on("Spawn", handler)
    answer = opened.call("spawn", argv=["x"])
    assert answer.ok or answer.kind == "lost", dict(answer)
    assert len(peer.processes) <= 1


def test_a_spawn_whose_good_answer_cannot_be_read_is_cancelled(opened, peer):
    def handler(call):
        peer.make(call)
        response = call.response()
        response.payload = b"\x09\x01"
        call.reply_raw(response.SerializeToString())
    peer.on("Spawn", handler)
    assert opened.call("spawn", argv=["x"]).kind == "protocol"
    assert peer.seen("Cancel")[0].payload.target.WhichOneof("by") == "spawn"


def test_local_refusals(opened, peer):
    n_before = len(peer.calls)
    for keys in (dict(argv=["x"], env=["novalue"]), dict(argv=["x"], env=["=v"]),
                 dict(argv=["x"], ladder="NOSUCH leader 5s"), dict(argv=["x"], hold_ms=5000),
                 dict(argv=["x"], name="n" * 129), dict(argv=["x"], stdin="file", path="relative")):
        assert opened.call("spawn", **keys).kind == "argument", keys
    assert opened.call("spawn").kind == "argument"
    assert len(peer.calls) == n_before


def test_other_transports_do_the_same(driver, make_peer):
    peer = make_peer("tcp")
    driver.ok("open", url=peer.url)
    peer.on("Spawn", silent(peer))
    assert driver.call("spawn", argv=["x"], timeout_ms=600).kind == "indeterminate"
    assert peer.seen("Cancel")
