"""libspawnd against the real server: the main job end to end, and the examples."""
import os
import re
import subprocess
import time

import pytest
from driven import BUILD, Driver

EXAMPLES = BUILD / "clients" / "c" / "examples"
DEAF = "trap '' INT TERM"  # said before anything else: a rung may come at once
STUBBORN = f"{DEAF}; while :; do sleep 0.05; done"


@pytest.fixture
def connected(driver, server):
    driver.ok("open", url=server.url)
    return driver


def shell(driver, text, **keys):
    keys.setdefault("env_base", 1)
    return driver.ok("spawn", argv=["sh", "-c", text], **keys)


def wait_output(driver, process, text):
    """Reads standard output from its start until text has come."""
    got, end = "", time.monotonic() + 20
    while text not in got:
        assert time.monotonic() < end, got
        got += driver.ok("read", id=process["id"], offset=len(got), hold_ms=1000)["data"]
    return got


def test_a_command_with_its_output_and_status(connected):
    process = shell(connected, "echo out; echo err >&2; exit 7", stdout="pipe", stderr="pipe")
    answer = connected.ok("await", id=process["id"])
    assert (answer["how"], answer["code"], answer["cause"]) == ("EXITED", "7", "ITSELF")
    assert connected.ok("read", id=process["id"])["data"] == "out\n"
    assert connected.ok("read", id=process["id"], stream=2)["data"] == "err\n"
    connected.ok("release", id=process["id"])
    assert connected.call("await", id=process["id"]).kind == "lost"


def test_in_one_round_trip(connected, true):
    process = connected.ok("spawn", argv=[true], hold_ms=1000)
    assert (process["how"], process["code"]) == ("EXITED", "0")
    assert connected.ok("stop", id=process["id"])["how"] == "EXITED"


def test_what_cannot_start(connected):
    answer = connected.call("spawn", argv=["/nonexistent/program"])
    assert (answer.kind, answer["stage"], answer["errno"]) == ("start_failed", "exec", "2")
    session, request = answer["more"].split(":")
    record = connected.ok("await", session=session, request=request)
    assert (record["how"], record["stage"], record["errno"]) == ("START_FAILED", "exec", "2")
    assert connected.ok("stop", session=session, request=request)["how"] == "START_FAILED"


def test_137_is_not_signal_9(connected):
    killed, exited = shell(connected, "kill -9 $$"), shell(connected, "exit 137")
    answer = connected.ok("await", id=killed["id"])
    assert (answer["how"], answer["signal"], answer["cause"]) == ("SIGNALED", "9", "OUTSIDE_SIGNAL")
    answer = connected.ok("await", id=exited["id"])
    assert (answer["how"], answer["code"], answer["cause"]) == ("EXITED", "137", "ITSELF")


def test_standard_input(connected):
    process = connected.ok("spawn", argv=["sort", "-rn"], stdin="pipe", stdout="pipe", env_base=1)
    lines = "".join(f"{i}\n" for i in range(1, 20001))
    state, sent = None, 0
    while sent < len(lines):
        state = connected.ok("write", id=process["id"], offset=sent, data=lines[sent:sent + 40000],
                             hold_ms=5000)
        sent = int(state["offset"])
    assert connected.ok("write", id=process["id"], offset=sent, close=1)["closed"] == "1"
    connected.ok("await", id=process["id"])
    got, eof = "", "0"
    while eof == "0":
        chunk = connected.ok("read", id=process["id"], offset=len(got), hold_ms=5000)
        got, eof = got + chunk["data"], chunk["eof"]
    assert got == "".join(f"{i}\n" for i in range(20000, 0, -1))


def test_a_stubborn_tree_is_climbed_to_the_last_rung(connected):
    process = shell(connected, f"{DEAF}; setsid sh -c \"{STUBBORN}\" & echo up; {STUBBORN}",
                    stdout="pipe", ladder="INT leader 300ms, TERM tree 300ms, KILL tree 2s")
    wait_output(connected, process, "up\n")
    began = time.monotonic()
    answer = connected.ok("stop", id=process["id"])
    took = time.monotonic() - began
    assert (answer["how"], answer["signal"], answer["rung"]) == ("SIGNALED", "9", "3")
    assert 0.6 <= took <= 0.6 + 2 + 0.5
    rungs = [entry.split(":") for entry in answer["journal"].split(";")]
    assert [(r[0], r[1]) for r in rungs] == [("1", "CLIENT"), ("2", "CLIENT"), ("3", "CLIENT")]
    times = [int(r[2]) for r in rungs]
    assert times[1] - times[0] >= 299 and times[2] - times[1] >= 299


def test_a_polite_one_ends_by_the_first_rung_at_once(connected):
    process = shell(connected, "trap 'exit 5' INT; echo up; while :; do sleep 0.02; done",
                    stdout="pipe", ladder="INT leader 30s")
    wait_output(connected, process, "up\n")
    began = time.monotonic()
    answer = connected.ok("stop", id=process["id"])
    assert time.monotonic() - began < 5
    assert (answer["how"], answer["code"], answer["cause"], answer["rung"]) == \
        ("EXITED", "5", "CANCEL", "1")


def test_another_client_awaits_and_stops(connected, server):
    process = shell(connected, "exec sleep 60", name="sleeper")
    connected.ok("open", client="other", url=server.url)
    listed = connected.ok("list", client="other", name="sleeper").processes
    assert listed[0][0] == process["id"] and listed[0][2] == "RUNNING"
    waiting = connected.start("await", id=process["id"])
    assert connected.ok("stop", client="other", id=process["id"])["signal"] == "2"
    assert connected.answer(waiting)["signal"] == "2"
    connected.ok("close", client="other")


def test_the_net_climbs_under_a_delegated_cancel(connected):
    process = shell(connected, f"{DEAF}; echo up; {STUBBORN}", stdout="pipe",
                    ladder="INT leader 200ms, TERM tree 200ms, KILL tree 2s")
    wait_output(connected, process, "up\n")
    connected.ok("cancel", id=process["id"], rung=1, wait_ms=200, delegate=1)
    answer = connected.ok("await", id=process["id"])
    assert [e.split(":")[1] for e in answer["journal"].split(";")] == ["CLIENT", "NET", "NET"]


def test_close_ends_what_the_session_owns(driver, server):
    driver.ok("open", url=server.url)
    driver.ok("open", client="other", url=server.url)
    cancelled = shell(driver, "exec sleep 60", owner_lost="cancel")
    killed = shell(driver, "exec sleep 60", owner_lost="kill")
    kept = shell(driver, "exec sleep 60", owner_lost="keep")
    driver.ok("close")
    answer = driver.ok("await", client="other", id=cancelled["id"])
    assert (answer["signal"], answer["cause"]) == ("2", "OWNER_LOST")
    assert driver.ok("await", client="other", id=killed["id"])["signal"] == "9"
    assert driver.call("await", client="other", id=kept["id"], timeout_ms=0).kind == "timeout"
    driver.ok("stop", client="other", id=kept["id"])


def test_a_client_that_is_killed_leaves_nothing(server):
    driver, other = Driver(), Driver()
    try:
        driver.ok("open", url=server.url)
        other.ok("open", url=server.url)
        process = shell(driver, f"{DEAF}; echo up; {STUBBORN}", stdout="pipe",
                        ladder="INT leader 200ms, KILL tree 2s")
        wait_output(other, process, "up\n")
        driver.process.kill()
        answer = other.ok("await", id=process["id"])
        assert (answer["signal"], answer["cause"]) == ("9", "OWNER_LOST")
    finally:
        driver.discard()
        other.discard()


def test_a_server_that_ends_ends_every_wait(fresh_server, driver):
    driver.ok("open", url=fresh_server.url, timeout_ms=1500)
    processes = [shell(driver, "exec sleep 60") for _ in range(20)]
    stubborn = shell(driver, "trap '' INT; echo up; exec sleep 60", stdout="pipe")
    wait_output(driver, stubborn, "up\n")
    tags = [driver.start("await", id=p["id"]) for p in processes]
    tags += [driver.start("stop", id=stubborn["id"], first_wait_ms=2000)]
    driver.wait_told(tags[-1], ("answered", 1))
    fresh_server.end()
    for tag in tags:
        answer = driver.answer(tag, limit_s=20)
        # The server ends them before it ends itself, or it is gone: a record or a typed loss.
        assert answer.ok or answer.kind in ("unreachable", "indeterminate"), dict(answer)


def test_fifty_at_once(connected, true):
    tags = [connected.start("spawn", argv=[true], hold_ms=1000) for _ in range(50)]
    for tag in tags:
        answer = connected.answer(tag)
        assert answer.ok, dict(answer)
        if "how" not in answer:
            answer = connected.ok("await", id=answer["id"])
        assert answer["how"] == "EXITED"


def test_one_thousand_in_sequence_leave_nothing_in_the_client(connected, true):
    def run(n):
        for _ in range(n):
            process = connected.ok("spawn", argv=[true], hold_ms=1000)
            connected.ok("await", id=process["id"])
            connected.ok("release", id=process["id"])

    def size_kib():
        with open(f"/proc/{connected.process.pid}/statm") as statm:
            virtual, resident = statm.read().split()[:2]
        return int(virtual) * 4, int(resident) * 4
    run(200)
    (virtual, before), files = size_kib(), len(os.listdir(f"/proc/{connected.process.pid}/fd"))
    run(1000)
    sanitized = virtual > 1 << 30  # a sanitizer's shadow; it keeps what was freed
    assert sanitized or size_kib()[1] - before < 4096
    assert len(os.listdir(f"/proc/{connected.process.pid}/fd")) == files


def example(server, name, *arguments):
    return subprocess.run([EXAMPLES / name, *arguments], env={**os.environ, "SPAWND_URL": server.url},
                          capture_output=True, text=True, timeout=60)


def test_example_run_one(server):
    done = example(server, "run_one", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, "hello\n")
    assert "EXITED 3" in done.stderr
    done = example(server, "run_one", "sh", "-c", "yes | head -c 10000000")
    assert done.stdout == "y\n" * 5000000
    assert example(server, "run_one", "/nonexistent").returncode == 125


def test_example_stop_one(server):
    done = example(server, "stop_one", "300", "INT leader 200ms, TERM tree 200ms", "sh", "-c", STUBBORN)
    assert done.returncode == 0, done.stderr
    assert re.search(r"rung 1 of 3: INT leader 200ms\nrung 2 of 3: TERM tree 200ms\nrung 3 of 3: KILL",
                     done.stdout)
    assert "SIGNALED code 0 signal 9, cause CANCEL, rung 3" in done.stdout
    done = example(server, "stop_one", "20000", "INT leader 200ms", "true")
    assert "ended by itself" in done.stdout
