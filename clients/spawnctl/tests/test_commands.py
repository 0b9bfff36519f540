"""The other commands: spawn, await, cancel, stop, signal, release, ps, info."""
import json
import os
import re
import signal
import time

import as_proto
import pytest
from conftest import LIMIT_S
from server_harness import wait_for

FOREVER = ["sleep", "300"]


def stop(ctl, process):
    return ctl.json("stop", process)[0]


def spawn_with_trap(ctl, tmp_path, ladder, trap, loop="sleep 300"):
    """A shell that has set its trap."""
    process = ctl.spawn("--ladder", ladder, "sh", "-c",
                        f"trap {trap}; echo >{tmp_path}/up; while :; do {loop}; done")
    wait_for((tmp_path / "up").exists, "the trap is set")
    return process


def test_spawn_prints_the_id_alone(ctl):
    done = ctl("spawn", *FOREVER)
    assert re.fullmatch(rb"[0-9a-f]{16}\n", done.stdout) and done.stderr == b""
    process = done.stdout.decode().strip()
    listed = ctl.json("ps")
    assert [one["process_id"] for one in listed] == [process]
    assert listed[0]["on_owner_lost"] == "KEEP" and listed[0]["argv"] == FOREVER
    stop(ctl, process)


def test_spawn_as_json(ctl):
    answer = ctl.json("spawn", *FOREVER)[0]
    assert set(answer) == {"process_id", "pid"}
    os.kill(answer["pid"], 0)
    stop(ctl, answer["process_id"])


def test_spawned_output_goes_into_files(ctl, tmp_path):
    (tmp_path / "out").write_text("before\n")
    process = ctl("spawn", "--stdout", "out", "--stderr", "err", "sh", "-c", "echo o; echo e >&2",
                  cwd=tmp_path).stdout.decode().strip()
    ctl("await", process)
    assert (tmp_path / "out").read_text() == "before\no\n"
    assert (tmp_path / "err").read_text() == "e\n"
    process = ctl("spawn", "-o", "both", "-E", "both", "sh", "-c", "echo o; echo e >&2; echo p",
                  cwd=tmp_path).stdout.decode().strip()
    ctl("await", process)
    assert (tmp_path / "both").read_text() == "o\ne\np\n"


def test_spawn_that_cannot_start(ctl):
    done = ctl("spawn", "--json", "/no/such", code=6)
    record = json.loads(done.stdout)
    as_proto.check("ExitRecord", record)
    assert record["start_failed"] == {"stage": "EXEC", "errno_code": 2}
    assert ctl("spawn", "--stdout", "/no/such/file", "true", code=6).stderr.decode().startswith(
        "spawnctl: could not start: stdout: No such file or directory (ENOENT)")


def test_await_prints_the_record(ctl):
    process = ctl.spawn("--name", "seven", "sh", "-c", "exit 7")
    text = ctl("await", process).stdout.decode()
    assert re.match(rf"process {process} \(seven\): exited 7 after \d+\.\d\d\d s\n", text)
    record = ctl.json("await", process)[0]
    as_proto.check("ExitRecord", record)
    assert (record["process_id"], record["name"], record["code"]) == (process, "seven", 7)


def test_await_in_time(ctl):
    process = ctl.spawn(*FOREVER)
    begin = time.monotonic()
    ctl("await", "--timeout", "300ms", process, code=5)
    assert 0.3 <= time.monotonic() - begin < 5
    ctl("await", "--timeout", "0", process, code=5)
    stop(ctl, process)


def test_await_the_leader_alone(ctl):
    process = ctl.spawn("--ladder", "TERM tree 2s", "--on-leader-exit", "keep",
                        "sh", "-c", "sleep 300 & exit 3")
    record = ctl.json("await", "--until", "leader-exit", process)[0]
    assert (record["code"], record["tree_empty"]) == (3, False)
    listed = ctl.json("ps")[0]
    as_proto.check("ProcessInfo", listed)
    assert listed["state"] == "LEADER_EXITED"
    assert stop(ctl, process)["tree_empty"]


def test_stop_shows_each_rung_and_prints_the_record(ctl, tmp_path):
    process = spawn_with_trap(
        ctl, tmp_path, "INT leader 100ms, TERM tree 100ms, KILL tree 5s", "'' INT TERM")
    done = ctl("stop", process)
    assert done.stderr.decode().splitlines() == [
        "spawnctl: rung 1 of 3: INT to leader", "spawnctl: rung 2 of 3: TERM to tree",
        "spawnctl: rung 3 of 3: KILL to tree"]
    text = done.stdout.decode()
    assert "killed by signal 9 (KILL), cancelled at rung 3, after" in text
    assert re.search(r"\|  rung 1  INT to leader +hit 1 +by client  [1-9]\d* left: .*sh\[", text)
    assert re.search(r"\|  rung 3  KILL to tree +hit \d+ +by client  nobody left", text)


def test_stop_of_what_has_ended_is_success(ctl):
    process = ctl.spawn("true")
    ctl("await", process)
    assert ctl("stop", "--quiet", process).stderr == b""
    assert stop(ctl, process)["kind"] == "EXITED"


def test_stop_that_cannot_end_it_in_time(ctl):
    process = ctl.spawn("--ladder", "KILL tree 0", *FOREVER)
    # No wait at all after the last rung: the record comes in time or it does not, never a hang.
    assert ctl("stop", process, code=None).returncode in (0, 5)
    ctl("await", process)


def test_cancel_one_rung(ctl, tmp_path):
    process = spawn_with_trap(
        ctl, tmp_path, "USR1 leader 1h, KILL tree 2s", ": USR1", "sleep 0.05")
    answer = ctl.json("cancel", process)[0]
    as_proto.check("CancelResponse", answer)
    assert (answer["process_id"], answer["rung_reached"]) == (process, 1)
    assert [rung["wait_ms"] for rung in answer["ladder"]] == [3600000, 2000]
    listed = ctl.json("ps")[0]
    as_proto.check("ProcessInfo", listed)
    assert listed["state"] == "CANCELLING" and listed["next_rung_ms"] > 3000000
    assert ctl("cancel", "--rung", "255", process).stdout.decode() in (
        "rung 2 of 2: KILL to tree\n", ctl("await", process).stdout.decode())
    assert ctl.json("await", process)[0]["rung"] == 2
    assert "exit" in ctl.json("cancel", process)[0]


def test_cancel_with_a_wait_and_delegated(ctl, tmp_path):
    process = spawn_with_trap(ctl, tmp_path, "USR1 leader 1h, KILL tree 2s", "'' USR1")
    ctl("cancel", "--wait", "200ms", "--delegate", process)
    begin = time.monotonic()
    record = ctl.json("await", process)[0]
    assert time.monotonic() - begin < 1.9, "delegated: the takeover's 2 s are not waited for"
    assert [rung["climber"] for rung in record["journal"]] == ["CLIENT", "NET"]


def test_signal(ctl, tmp_path):
    process = spawn_with_trap(ctl, tmp_path, "TERM 5s", "'exit 5' USR1", "sleep 0.05")
    assert ctl.json("signal", process, "SIGUSR1") == [{"hit": 1}]
    record = ctl.json("await", process)[0]
    assert (record["code"], record["journal"]) == (5, [])
    process = ctl.spawn("sh", "-c", "sleep 300; true")
    ctl("signal", "--scope", "tree", process, "0", code=2)
    assert ctl("signal", "--scope", "tree", process, "9").stdout.startswith(b"hit ")
    record = ctl.json("await", process)[0]
    assert (record["signal"], record["cause"]) == (9, "SIGNAL_CALL")


def test_release(ctl):
    process = ctl.spawn("true")
    ctl("await", process)
    ctl("release", process)
    assert process not in [one["process_id"] for one in ctl.json("ps", "--all")]
    assert b"no record" in ctl("await", process, code=3).stderr
    process = ctl.spawn(*FOREVER)
    ctl("release", process, code=1)
    stop(ctl, process)


@pytest.mark.parametrize("command", [["await"], ["stop"], ["cancel"]])
def test_no_such_process(ctl, command):
    done = ctl(*command, "00000000000000ff", code=3)
    assert done.stdout == b"" and b"00000000000000ff" in done.stderr


def test_ps(ctl):
    living = ctl.spawn("--name", "alive", *FOREVER)
    ended = ctl.spawn("--name", "dead", "sh", "-c", "exit 3")
    ctl("await", ended)
    rows = ctl("ps").stdout.decode().splitlines()
    assert rows[0].split() == ["ID", "NAME", "STATE", "PID", "AGE", "RUNG", "COMMAND"]
    assert any(row.startswith(f"{living}  alive ") and row.endswith("sleep 300") for row in rows)
    assert not any(row.startswith(ended) for row in rows)
    row = [row for row in ctl("ps", "-a").stdout.decode().splitlines() if row.startswith(ended)]
    assert "sh -c 'exit 3'  -- exited 3 after" in row[0]
    for one in ctl.json("ps", "--all"):
        as_proto.check("ProcessInfo", one)
    assert [one["process_id"] for one in ctl.json("ps", "--state", "running")] == [living]
    assert ctl.json("ps", "-a", "--name", "dead")[0]["exit"]["code"] == 3
    stop(ctl, living)


def test_bytes_that_are_not_utf8(ctl):
    script = "exec sleep 300 #\xe4\n".encode("latin-1")
    process = ctl.spawn("--name", b"n\xff\\", "sh", "-c", script)
    listed = ctl.json("ps")[0]
    as_proto.check("ProcessInfo", listed)
    assert listed["name"] == r"n\xff\\" and listed["argv"][2] == "exec sleep 300 #\\xe4\n"
    row = ctl("ps").stdout.decode().splitlines()[1]
    assert r"n\xff\\" in row and r"'exec sleep 300 #\xe4\x0a'" in row
    stop(ctl, process)


def test_more_processes_than_one_page(ctl):
    made = [ctl.spawn("true") for _ in range(3)]
    listed = [one["process_id"] for one in ctl.json("ps", "--all")]
    assert [one for one in listed if one in made] == made
    for process in made:
        ctl("await", process)
        ctl("release", process)


def test_info(ctl, server):
    info = ctl.json("info")[0]
    as_proto.check("GetServerInfoResponse", info)
    assert (info["guard_pid"], info["root_pid"], info["broker_pid"]) == (
        server.guard, server.root, server.broker)
    assert info["epoch"] == f"{server.epoch:016x}" and info["major"] == 1
    text = ctl("info").stdout.decode()
    assert server.url in text and info["epoch"] in text


def test_the_server_by_option_wins_over_the_environment(ctl, lonely, server):
    assert ctl("info", "--url", "ipc:///nowhere/at/all", code=4)
    assert lonely("--url", server.url, "info")
    assert lonely("info", "--url", server.url)


def test_killed_stop_leaves_the_climb_to_the_server(ctl, tmp_path):
    process = spawn_with_trap(ctl, tmp_path, "INT leader 2s, KILL tree 5s", "'' INT")
    client = ctl.start("stop", process)
    wait_for(lambda: ctl.json("ps")[0]["state"] == "CANCELLING", "the climb has begun")
    client.send_signal(signal.SIGTERM)
    assert client.wait(LIMIT_S) == -signal.SIGTERM
    assert client.stderr.read() == b"spawnctl: rung 1 of 2: INT to leader\n"
    record = ctl.json("await", process)[0]
    assert [rung["climber"] for rung in record["journal"]] == ["CLIENT", "NET"]
    assert record["cause"] == "CANCEL"
