"""Signals to spawnctl run: the climb, the countdown, the terminal."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import as_proto
import pytest
from conftest import LIMIT_S, SPAWNCTL
from server_harness import wait_for

STUBBORN = "trap '' INT TERM; echo up; while :; do sleep 300; done"


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(arguments[0], [str(argument) for argument in arguments], environment)
        self.text = ""
        self.modes = termios.tcgetattr(self.fd)

    def read_until(self, pattern):
        """Reads on until what was read since the last match matches."""
        end = time.monotonic() + LIMIT_S
        while not (match := re.search(pattern, self.text)):
            assert select.select([self.fd], [], [], end - time.monotonic())[0], self.text
            try:
                more = os.read(self.fd, 65536)
            except OSError:  # EIO: nobody holds the other side
                more = b""
            assert more, f"ended without {pattern!r}: {self.text!r}"
            self.text += more.decode()
        self.text = self.text[match.end():]
        return match

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Its exit status, once it has ended; the terminal's modes must be as before."""
        rest = ""
        while True:
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                break
            if not more:
                break
            rest += more.decode()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return status, self.text + rest

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.fd)


@pytest.fixture
def terminal(ctl):
    made = []

    def make(*arguments):
        made.append(Terminal([SPAWNCTL, *arguments], ctl.environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_ctrl_c_climbs_one_rung_and_counts_down(terminal, tmp_path):
    record_path = tmp_path / "record"
    at = terminal("run", f"--record={record_path}", "--ladder",
                  "INT leader 2s, TERM tree 1s, KILL tree 5s", "sh", "-c", STUBBORN)
    at.read_until("up\r\n")
    at.type("\x03")
    at.read_until(r"rung 1 of 3: INT to leader; rung 2 in 2 s \(Ctrl-C: at once\)")
    at.read_until(r"rung 1 of 3: INT to leader; rung 2 in 1 s")
    at.read_until(r"rung 2 of 3: TERM to tree; rung 3 in 1 s")
    at.read_until(r"rung 3 of 3: KILL to tree")
    assert termios.tcgetattr(at.fd) == at.modes
    status, rest = at.end()
    assert status == 137
    assert rest.endswith("\n"), "the cursor stands at the beginning of a line"
    record = json.loads(record_path.read_text())
    as_proto.check("ExitRecord", record)
    assert [(rung["rung"], rung["climber"]) for rung in record["journal"]] == [
        (1, "CLIENT"), (2, "CLIENT"), (3, "CLIENT")]
    times = [rung["at_ms"] for rung in record["journal"]]
    assert 2000 <= times[1] - times[0] < 3000 and 1000 <= times[2] - times[1] < 2000


def test_a_second_ctrl_c_climbs_at_once(terminal, tmp_path):
    record_path = tmp_path / "record"
    at = terminal("run", f"--record={record_path}", "--ladder",
                  "INT leader 1h, TERM tree 1h, KILL tree 5s", "sh", "-c", STUBBORN)
    at.read_until("up\r\n")
    at.type("\x03")
    at.read_until(r"rung 1 of 3")
    at.type("\x03")
    at.read_until(r"rung 2 of 3")
    at.type("\x03")
    at.read_until(r"rung 3 of 3")
    assert at.end()[0] == 137
    record = json.loads(record_path.read_text())
    assert [rung["rung"] for rung in record["journal"] if not rung["skipped"]] == [1, 2, 3]
    assert record["leader_exit_ms"] < 20000


def test_output_and_countdown_do_not_mix(terminal):
    at = terminal("run", "--ladder", "INT leader 1h", "sh", "-c",
                  "trap 'echo asked; sleep 0.3; echo bye; exit 3' INT; echo up; "
                  "while :; do sleep 0.05; done")
    at.read_until("up\r\n")
    at.type("\x03")
    at.read_until("bye\r\n")
    status, _ = at.end()
    assert status == 3


def test_end_of_file_at_a_terminal(terminal):
    at = terminal("run", "cat")
    at.type("line\n")
    at.read_until("line\r\nline\r\n")  # the terminal's echo, and cat's
    at.type("\x04")
    assert at.end()[0] == 0


def test_a_terminal_is_left_as_it_was(terminal):
    at = terminal("run", "sh", "-c", "echo up; read line; exit 5")
    at.read_until("up\r\n")
    at.type("\n")
    at.read_until("\r\n")
    assert termios.tcgetattr(at.fd) == at.modes
    assert at.end()[0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_begins_the_climb(ctl, number):
    client = ctl.start("run", "sh", "-c",
                       "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done")
    assert client.stdout.readline() == b"up\n"
    client.send_signal(number)
    assert client.wait(LIMIT_S) == 9
    assert client.stderr.read() == b"", "no countdown where there is no terminal"


def test_a_second_term_does_not_hurry(ctl, tmp_path):
    path = tmp_path / "record"
    client = ctl.start("run", f"--record={path}", "--ladder", "INT leader 1s, KILL tree 5s",
                       "sh", "-c", STUBBORN)
    assert client.stdout.readline() == b"up\n"
    for _ in range(3):
        client.send_signal(signal.SIGTERM)
    assert client.wait(LIMIT_S) == 137
    times = [rung["at_ms"] for rung in json.loads(path.read_text())["journal"]]
    assert times[1] - times[0] >= 1000


def test_an_ignored_signal_stays_ignored(ctl):
    client = ctl.start("run", "cat",
                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    os.write(client.stdin.fileno(), b"x\n")
    assert client.stdout.readline() == b"x\n"
    client.send_signal(signal.SIGINT)
    os.write(client.stdin.fileno(), b"y\n")
    assert client.stdout.readline() == b"y\n"
    client.stdin.close()
    assert client.wait(LIMIT_S) == 0


def test_killed_outright_the_server_climbs(ctl):
    client = ctl.start("run", "--name", "orphan", "--ladder", "INT leader 100ms, KILL tree 2s",
                       "sh", "-c", STUBBORN)
    assert client.stdout.readline() == b"up\n"
    process = ctl.json("ps", "--name", "orphan")[0]["process_id"]
    client.kill()
    client.wait()
    record = ctl.json("await", process)[0]
    assert (record["cause"], record["rung"]) == ("OWNER_LOST", 2)
    assert {rung["climber"] for rung in record["journal"]} == {"NET"}


def test_a_signal_after_the_end_does_not_wait_for_the_reader(ctl):
    client = ctl.start("run", "--name", "stuck", "sh", "-c", "yes | head -c 500000; echo >&2")
    assert client.stderr.readline() == b"\n"
    wait_for(lambda: ctl.json("ps", "--name", "stuck") == [], "it has ended")
    # Its output is still being written to a pipe that nobody empties; the signal may come a moment
    # before spawnctl has heard of the end, so it is repeated.

    def ended():
        client.send_signal(signal.SIGTERM)
        return client.poll() is not None

    wait_for(ended, "it ends without its reader")
    assert client.returncode == 128 + signal.SIGTERM


def test_ctrl_c_hurries_stop(ctl, terminal, tmp_path):
    process = ctl.spawn("--ladder", "INT leader 1h, TERM tree 1h, KILL tree 5s", "--stdout",
                        str(tmp_path / "up"), "sh", "-c", STUBBORN)
    wait_for(lambda: (tmp_path / "up").read_bytes(), "its traps are set")
    at = terminal("stop", process)
    at.read_until(r"rung 1 of 3")
    at.type("\x03")
    at.read_until(r"rung 2 of 3")
    at.type("\x03")
    at.read_until(r"rung 3 of 3")
    at.read_until(r"killed by signal 9 \(KILL\), cancelled at rung 3")
    assert at.end()[0] == 0


def test_a_background_job_is_not_stopped_by_its_terminal(ctl, terminal):
    # sh -m: each job in a process group of its own; the job never reads its terminal.
    script = f'"{SPAWNCTL}" run sh -c "sleep 0.3; echo done" & wait $!; echo "status $?"'
    at = Terminal(["/bin/sh", "-m", "-c", script], ctl.environment)
    try:
        at.read_until("done\r\n")
        at.read_until("status 0\r\n")
        at.end()
    finally:
        at.close()
