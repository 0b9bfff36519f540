"""What spawnctl says when its server stops or dies under it."""
import json
import os
import signal

import as_proto
import pytest
from conftest import LIMIT_S, Spawnctl
from server_harness import wait_for


@pytest.fixture
def fresh_ctl(fresh_server):
    return Spawnctl(fresh_server.url)


def tidy(server):
    """Takes away the files that a server leaves that was killed."""
    for left in (server.folder / "run").iterdir():
        left.unlink()


def test_a_server_that_stops_stops_the_command_in_order(fresh_ctl, fresh_server, tmp_path):
    path = tmp_path / "record"
    client = fresh_ctl.start("run", f"--record={path}", "sh", "-c",
                             "trap 'echo asked; exit 3' INT; echo up; while :; do sleep 0.05; done")
    assert client.stdout.readline() == b"up\n"
    assert fresh_server.end() == 0
    assert client.stdout.read() == b"asked\n"
    assert client.wait(LIMIT_S) == 3
    record = json.loads(path.read_text())
    as_proto.check("ExitRecord", record)
    assert record["cause"] == "SERVER_SHUTDOWN"


@pytest.mark.parametrize("victim", ["root", "broker"])
def test_a_server_that_dies_is_told_and_never_guessed(fresh_ctl, fresh_server, victim):
    client = fresh_ctl.start("run", "sh", "-c", "echo up; exec sleep 300")
    assert client.stdout.readline() == b"up\n"
    os.kill(getattr(fresh_server, victim), signal.SIGKILL)
    fresh_server.wait()
    assert client.wait(LIMIT_S) == 125
    assert client.stderr.read().startswith(b"spawnctl: how it ended is not known: ")
    tidy(fresh_server)


def test_await_of_a_server_that_dies(fresh_ctl, fresh_server):
    process = fresh_ctl.spawn("sleep", "300")
    client = fresh_ctl.start("await", process)
    wait_for(lambda: fresh_ctl.json("info")[0]["counters"]["parked"] > 0, "it waits")
    os.kill(fresh_server.root, signal.SIGKILL)
    fresh_server.wait()
    assert client.wait(LIMIT_S) in (3, 4)
    tidy(fresh_server)
