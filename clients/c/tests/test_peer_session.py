"""libspawnd against a scripted server: versions, sessions, epochs (VER, SES, IDN)."""
import time

from peer import pb


def test_ver_01_open_session_comes_first_with_major_and_minor(opened, peer):
    opened.ok("spawn", argv=["x"])
    assert [c.method for c in peer.calls[:2]] == ["OpenSession", "Spawn"]
    assert (peer.calls[0].payload.major, peer.calls[0].request.session_id) == (1, 0)


def test_ver_02_another_major_is_a_typed_error_and_nothing_else_is_sent(driver, peer):
    peer.on("OpenSession", lambda call: call.refuse(
        pb.CODE_FAILED_PRECONDITION, unsupported=pb.Unsupported(major_min=2, major_max=3)))
    answer = driver.call("open", url=peer.url)
    assert answer.kind == "version"
    assert [c.method for c in peer.calls] == ["OpenSession"]


def test_ver_03_a_higher_minor_and_unknown_fields_change_nothing(driver, peer):
    peer.on("OpenSession", lambda call: peer.do_OpenSession(call, minor=5))
    unknown = bytes.fromhex("9a3e03616263" "a03e05" "ad3e01020304" "a13e0102030405060708")
    for method in ("Spawn", "AwaitExit"):
        def handler(call, method=method):
            process = peer.make(call) if method == "Spawn" else peer.find(call.payload.target)
            if method == "AwaitExit":
                process.exit = process.record(code=3)
            inner = process.spawned() if method == "Spawn" else peer.awaited(process)
            response = call.response()
            response.payload = inner.SerializeToString() + unknown
            call.reply_raw(response.SerializeToString() + unknown)
        peer.on(method, handler)
    driver.ok("open", url=peer.url)
    process = driver.ok("spawn", argv=["x"])
    assert driver.ok("await", id=process["id"])["code"] == "3"


def test_ver_04_a_new_epoch_makes_old_handles_lost(opened, peer, spawn):
    process = spawn()
    waiting = opened.start("await", id=process.id)
    peer.wait_seen("AwaitExit")
    n_before = len(peer.calls)
    peer.restart()
    assert opened.answer(waiting).kind == "lost"
    assert opened.call("stop", id=process.id).kind == "lost"
    assert opened.call("cancel", id=process.id).kind == "lost"
    assert opened.call("release", id=process.id).ok  # it is gone, as asked
    # A wait that was re-issued on the new connection may have shown the new epoch; no more than that.
    addressed = [c for c in peer.calls[n_before:] if c.method in ("AwaitExit", "Cancel", "Release")]
    assert not [c for c in addressed if c.method != "AwaitExit"]
    assert len(addressed) <= 1
    # New processes are started on the new server as if nothing had happened.
    fresh = opened.ok("spawn", argv=["x"])
    assert int(fresh["id"], 16) >> 32 == peer.epoch


def test_handles_of_another_epoch_are_not_sent_at_all(opened, peer):
    n_before = len(peer.calls)
    for verb in ("await", "stop", "cancel", "signal", "read", "write"):
        assert opened.call(verb, id="0000000900000001").kind == "lost", verb
    assert len(peer.calls) == n_before


def test_a_session_that_is_over_is_replaced_and_ids_stay_valid(opened, peer, spawn):
    process = spawn()
    peer.sessions.clear()
    waiting = opened.start("await", id=process.id)
    peer.wait_for(lambda: peer.n_sessions == 2, "a second session")
    peer.wait_for(lambda: peer.parked, "the await is parked in it")
    peer.end(process.model, code=4)
    assert opened.answer(waiting)["code"] == "4"


def test_a_spawn_key_keeps_its_old_session(opened, peer, spawn):
    process = spawn()
    session, request = process.key.split(":")
    peer.sessions.clear()
    waiting = opened.start("await", session=session, request=request)
    peer.wait_for(lambda: peer.parked, "parked")
    key = peer.parked[0][1].payload.target.spawn
    assert f"{key.session_id:016x}" == session and key.request_id == int(request)
    assert peer.parked[0][1].request.session_id != key.session_id
    peer.end(process.model)
    opened.answer(waiting)


def test_a_spawn_in_a_session_that_is_over_is_done_once_in_the_next(opened, peer):
    peer.sessions.clear()
    opened.ok("spawn", argv=["x"])
    assert len(peer.processes) == 1 and peer.n_sessions == 2


def test_a_server_that_ends_each_session_at_once_is_not_asked_for_ever(opened, peer, spawn):
    process = spawn()
    for method in ("AwaitExit", "Cancel", "Spawn"):
        peer.on(method, lambda call: call.refuse(
            pb.CODE_UNAUTHENTICATED, session_expired=pb.SessionExpired()))
    assert opened.call("await", id=process.id).kind == "protocol"
    assert opened.call("stop", id=process.id).kind == "protocol"
    assert opened.call("spawn", argv=["x"]).kind == "protocol"
    assert peer.n_sessions < 100


def test_a_stop_goes_on_in_the_next_session(opened, peer, spawn):
    process = spawn()
    stopping = opened.start("stop", id=process.id)
    opened.wait_told(stopping, ("answered", 1))
    peer.sessions.clear()
    opened.wait_told(stopping, ("answered", 2))
    peer.end(process.model, kind=pb.EXIT_KIND_SIGNALED, signal=9)
    assert opened.answer(stopping)["signal"] == "9"
    assert peer.n_sessions == 2


def test_after_a_reconnect_the_session_is_shown_at_once(opened, peer):
    """Otherwise its lease would run out under an idle client (SES-5)."""
    peer.cut_all()
    peer.wait_seen("KeepAlive")
    assert peer.seen("KeepAlive")[0].request.session_id in peer.sessions


def test_the_lease_is_renewed_on_tcp_alone(driver, make_peer):
    peers = {transport: make_peer(transport) for transport in ("tcp", "ipc")}
    for name, peer in peers.items():
        peer.lease_ms = 1000
        driver.ok("open", client=name, url=peer.url, lease_ms=1000)
    renewals = peers["tcp"].wait_seen("KeepAlive", count=3)
    gaps = [b.at - a.at for a, b in zip(renewals, renewals[1:])]
    assert min(gaps) >= 0.3, gaps
    assert not peers["ipc"].seen("KeepAlive")


def test_holds_on_tcp_are_half_the_lease(driver, make_peer):
    peer = make_peer("tcp")
    peer.lease_ms = 4000
    driver.ok("open", url=peer.url, lease_ms=4000)
    process = driver.ok("spawn", argv=["x"])
    waiting = driver.start("await", id=process["id"])
    hold_ms = peer.wait_seen("AwaitExit")[0].payload.hold_ms
    assert 0 < hold_ms <= 2000
    peer.end(peer.processes[int(process["id"], 16)])
    driver.answer(waiting)


def test_close_ends_the_session_and_wakes_every_call(opened, peer, spawn):
    process = spawn()
    waiting = [opened.start("await", id=process.id), opened.start("stop", id=process.id),
               opened.start("stop", id=process.id)]
    peer.wait_seen("AwaitExit", count=2)
    for tag in waiting[1:]:
        opened.wait_told(tag, ("sent", 1))
    began = time.monotonic()
    opened.ok("close")
    assert time.monotonic() - began < 2
    for tag in waiting:
        assert opened.answer(tag).kind == "closed"
    assert peer.wait_seen("CloseSession") and not peer.sessions


def test_close_does_not_wait_for_a_silent_server(opened, peer):
    peer.on("CloseSession", lambda call: None)
    began = time.monotonic()
    opened.ok("close")
    assert time.monotonic() - began < 2.5


def test_nobody_listens_is_told_at_once(driver, make_peer, transport):
    peer = make_peer(transport)
    url = peer.url
    peer.deafen()
    began = time.monotonic()
    answer = driver.call("open", url=url)
    assert answer.kind == "unreachable" and time.monotonic() - began < 2, dict(answer)


def test_a_server_that_accepts_and_says_nothing_is_unreachable_in_time(driver, peer):
    peer.on("OpenSession", lambda call: None)
    began = time.monotonic()
    assert driver.call("open", url=peer.url, timeout_ms=700).kind == "unreachable"
    assert 0.6 < time.monotonic() - began < 4


def test_addresses_that_are_none(driver):
    for url in ("ws://localhost/", "ipc://relative", "abstract://x", "tcp://", "nonsense"):
        assert driver.call("open", url=url).kind in ("argument", "unreachable"), url
    assert driver.call("open", url="ws://localhost/").kind == "argument"
