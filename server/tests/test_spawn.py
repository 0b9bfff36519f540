"""What a child starts with, and what Spawn answers. Clauses: docs/spec/05-spawn.md."""
import os
import pathlib
import signal
import time

import pytest
from conftest import run_server, wait_for
from plain_client import Client, Refused, pb

SH = "/bin/sh"


def output_of(client, *argv, **fields):
    """Runs a command to its end; what it wrote to stdout."""
    answer = client.spawn(*argv, stdout="pipe", stderr=pb.Stdio(kind=pb.STDIO_KIND_STDOUT), **fields)
    text, eof = client.read_all(answer)
    assert eof == pb.EOF_CLOSED
    record = client.await_exit(answer)
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 0), text
    client.release(answer)
    return text


def test_spn_7_output_on_the_right_streams_and_the_status(client):
    answer = client.spawn(SH, "-c", "echo out; echo err >&2; exit 7", stdout="pipe", stderr="pipe")
    assert answer.process_id >> 32 == client.epoch
    assert answer.pid > 0 and answer.started_unix_ms > 1_600_000_000_000
    assert client.read_all(answer) == (b"out\n", pb.EOF_CLOSED)
    assert client.read_all(answer, pb.STREAM_STDERR) == (b"err\n", pb.EOF_CLOSED)
    record = client.await_exit(answer)
    assert (record.kind, record.code) == (pb.EXIT_KIND_EXITED, 7)


def test_spn_6_arguments_arrive_byte_for_byte(client):
    argv = [b"", b"\xff\xfe", b"a b", b"=", b"x=y", "ä".encode(), b"-n", b"\n"] + [b"n"] * 1000
    text = output_of(client, SH, "-c", "cat /proc/$$/cmdline; :", *argv)
    assert text.split(b"\0")[3:-1] == argv


def test_spn_11_environment_is_what_was_given_and_nothing_else(client):
    env = {b"A": b"", b"B": b"\xff=\xfe", b"lower case": b"x\ny", b"PATH": b"/bin"}
    text = output_of(client, SH, "-c", "cat /proc/$$/environ; :", env=env)
    assert dict(entry.split(b"=", 1) for entry in text.split(b"\0")[:-1]) == env
    assert output_of(client, "/bin/cat", "/proc/self/environ") == b""


def test_spn_11_env_base_adds_five_names_that_env_overrides(client):
    text = output_of(client, "/bin/cat", "/proc/self/environ", env_base=True, env={b"HOME": b"/x"})
    env = dict(entry.split(b"=", 1) for entry in text.split(b"\0")[:-1])
    assert set(env) == {b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL"}
    assert env[b"HOME"] == b"/x" and env[b"PATH"] == b"/usr/local/bin:/usr/bin:/bin"


def test_spn_18_a_name_is_looked_up_in_the_childs_own_path(client, tmp_path):
    for folder, text in (("one", "1"), ("two", "2")):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "prog"
        program.write_text(f"#!/bin/sh\necho {text}\n")
        program.chmod(0o755)
    path = f"{tmp_path}/none:{tmp_path}/two:{tmp_path}/one".encode()
    assert output_of(client, "prog", env={b"PATH": path}) == b"2\n"
    # Entries that are not absolute are skipped, also where the cwd would have it.
    path = f".:one::{tmp_path}/two".encode()
    assert output_of(client, "prog", env={b"PATH": path}, cwd=bytes(tmp_path / "one")) == b"2\n"
    # EACCES goes on to the next, and is remembered.
    (tmp_path / "two" / "prog").chmod(0o644)
    path = f"{tmp_path}/two:{tmp_path}/one".encode()
    assert output_of(client, "prog", env={b"PATH": path}) == b"1\n"
    path = f"{tmp_path}/two:{tmp_path}/none".encode()
    assert failure(client, "prog", env={b"PATH": path}) == ("EXEC", 13)
    assert failure(client, "prog", env={b"PATH": b"/nonexistent"}) == ("EXEC", 2)
    assert failure(client, "prog", env={b"PATH": b".:"}) == ("EXEC", 2)
    assert output_of(client, "echo", "hi") == b"hi\n"  # without PATH: the default one


def test_spn_18_program_and_argv0_may_differ(client):
    text = output_of(client, "other", "-c", "cat /proc/$$/cmdline; :", program=b"/bin/sh")
    assert text.split(b"\0")[0] == b"other"


def test_spn_21_cwd(client, tmp_path):
    assert output_of(client, "/bin/pwd") == b"/\n"
    assert output_of(client, "/bin/pwd", cwd=bytes(tmp_path)) == bytes(tmp_path) + b"\n"


def check_descriptors(client):
    text = output_of(client, "/bin/ls", "-l", "/proc/self/fd").decode()
    entries = [line.split()[8:] for line in text.splitlines()[1:]]
    table = {int(number): to for number, _, to in entries}
    own = [number for number, to in table.items() if to.startswith("/proc/") and to.endswith("/fd")]
    assert set(table) - set(own) == {0, 1, 2}
    assert table[0] == "/dev/null" and table[1] == table[2] and table[1].startswith("pipe:")


def test_spn_26_descriptors_are_0_1_2(client):
    check_descriptors(client)


def test_spn_26_signals_session_and_privileges(client):
    text = output_of(client, "/bin/cat", "/proc/self/status").decode()
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1" and status["Umask"] == "0022"
    text = output_of(client, "/bin/cat", "/proc/self/stat").decode()
    pid, (group, session, tty) = text.split()[0], text.rsplit(")", 1)[1].split()[2:5]
    assert group == session == pid and tty == "0"
    assert output_of(client, "/bin/cat", "/proc/self/oom_score_adj") == b"0\n"


def test_spn_26_nothing_of_the_servers_own_state_is_inherited():
    # A server that was itself started with ignored and blocked signals and stray descriptors.
    strays = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
    for descriptor in strays:
        os.set_inheritable(descriptor, True)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGINT})
    try:
        for server in run_server():
            client = Client(server.url)
            check_descriptors(client)
            test_spn_26_signals_session_and_privileges(client)
            client.close_connection()
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        for descriptor in strays:
            os.close(descriptor)


def test_spn_26_privileges_may_be_allowed(client):
    text = output_of(client, "/bin/grep", "NoNewPrivs", "/proc/self/status",
                     allow_new_privileges=True)
    assert text.split() == [b"NoNewPrivs:", b"0"]


def test_spn_23_umask(client):
    assert output_of(client, SH, "-c", "umask", umask=pb.Umask(mode=0o077)) == b"0077\n"
    assert output_of(client, SH, "-c", "umask", umask=pb.Umask(mode=0)) == b"0000\n"


def test_spn_13_rlimits(client):
    text = output_of(client, SH, "-c", "ulimit -Sn; ulimit -Hn; ulimit -c",
                     rlimits=[pb.Rlimit(resource=7, soft=50, hard=60), pb.Rlimit(resource=4)])
    assert text.split() == [b"50", b"60", b"0"]


def test_spn_12_files(client, tmp_path):
    (tmp_path / "in").write_bytes(b"input\n")
    out = tmp_path / "out"

    def run(**stdout):
        answer = client.spawn(
            SH, "-c", "cat; echo err >&2", umask=pb.Umask(mode=0o027), hold_ms=1000,
            stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(tmp_path / "in")),
            stdout=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(out), **stdout),
            stderr=pb.Stdio(kind=pb.STDIO_KIND_STDOUT))
        assert client.await_exit(answer).code == 0

    run()
    assert out.read_bytes() == b"input\nerr\n" and out.stat().st_mode & 0o777 == 0o640
    run()
    assert out.read_bytes() == b"input\nerr\n" * 2
    run(truncate=True)
    assert out.read_bytes() == b"input\nerr\n"


def test_spn_10_hold_gives_the_record_with_the_answer(client, true):
    answer = client.spawn(true, hold_ms=1000)
    assert answer.exit.kind == pb.EXIT_KIND_EXITED and answer.exit.tree_empty
    assert answer.exit == client.await_exit(answer)


def test_spn_10_hold_ends_without_an_exit(client, child):
    begin = time.monotonic()
    answer = client.spawn(child, "pause", hold_ms=150)
    assert time.monotonic() - begin >= 0.148
    assert not answer.HasField("exit")


def test_spn_10_a_cancel_ends_the_hold(client, child):
    begin = time.monotonic()
    spawning = client.start_spawn(child, "ignore:2", "pause", hold_ms=1000)
    wait_for(lambda: client.mine(state=pb.PROCESS_STATE_RUNNING), "it runs")
    client.cancel(client.key(spawning[3]), rung=1, wait_ms=5000)
    answer = client.result(spawning)
    assert time.monotonic() - begin < 0.8
    assert answer.process_id


def test_spn_10_a_signal_ends_the_hold(client, child):
    begin = time.monotonic()
    spawning = client.start_spawn(child, "ignore:2", "pause", hold_ms=1000)
    wait_for(lambda: client.mine(state=pb.PROCESS_STATE_RUNNING), "it runs")
    client.signal(client.key(spawning[3]), 2)
    client.result(spawning)
    assert time.monotonic() - begin < 0.8


def test_spn_9_a_failed_start_gives_its_name_back(client, child):
    with pytest.raises(Refused):
        client.spawn("/nonexistent", name=b"two")
    assert client.spawn(child, "pause", name=b"two").process_id


def test_spn_9_a_name_is_unique_among_the_living(client, clients, child):
    first = client.spawn(child, "pause", name=b"one")
    other = clients()
    with pytest.raises(Refused) as refused:
        other.spawn(child, "pause", name=b"one")
    assert refused.value.code == "ALREADY_EXISTS"
    assert refused.value.value.process_id == first.process_id
    assert [p.process_id for p in other.list(name=b"one")] == [first.process_id]
    client.cancel(first, rung=255)
    assert client.await_exit(first).name == b"one"
    assert other.spawn(child, "exit:0", name=b"one").process_id != first.process_id


def failure(client, *argv, **fields):
    """(stage, errno) of a start that must fail."""
    call = client.start_spawn(*argv, **fields)
    with pytest.raises(Refused) as refused:
        client.result(call)
    assert refused.value.code == "FAILED_PRECONDITION" and refused.value.detail == "start_failed"
    failed = refused.value.value
    # The record by the Spawn's key says the same (SPN-8, AWT-8).
    answer = client.poll(client.key(call[3]))
    assert answer.done and answer.process_id == 0
    assert answer.exit.kind == pb.EXIT_KIND_START_FAILED and answer.exit.start_failed == failed
    assert answer.exit.spawn_request_id == call[3] and answer.exit.process_id == 0
    return pb_name("START_STAGE_", failed.stage), failed.errno_code


def pb_name(prefix, number):
    return next(name.removeprefix(prefix) for name in vars(pb)
                if name.startswith(prefix) and getattr(pb, name) == number)


def test_spn_8_failed_starts_name_the_step_and_errno(server, client, tmp_path):
    def made(name, text, mode):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def file(path):
        return pb.Stdio(kind=pb.STDIO_KIND_FILE, path=path.encode())

    assert failure(client, "/nonexistent") == ("EXEC", 2)  # also warms everything up
    before = server.descriptors()
    assert failure(client, "/nonexistent/x") == ("EXEC", 2)
    assert failure(client, made("plain", "x", 0o644)) == ("EXEC", 13)
    assert failure(client, str(tmp_path)) == ("EXEC", 13)
    assert failure(client, made("noformat", "x", 0o755)) == ("EXEC", 8)
    assert failure(client, made("interpreter", "#!/nonexistent\n", 0o755)) == ("EXEC", 2)
    assert failure(client, "/bin/true/x") == ("EXEC", 20)
    assert failure(client, "/bin/true", cwd=b"/nonexistent") == ("CWD", 2)
    assert failure(client, "/bin/true", cwd=b"/bin/true") == ("CWD", 20)
    assert failure(client, "/bin/true", stdin=file("/nonexistent")) == ("STDIN", 2)
    assert failure(client, "/bin/true", stdout=file("/nonexistent/x")) == ("STDOUT", 2)
    assert failure(client, "/bin/true", stderr=file(str(tmp_path))) == ("STDERR", 21)
    busy = pathlib.Path(made("busy", "", 0o755))
    busy.write_bytes(pathlib.Path("/bin/true").read_bytes())
    with open(busy, "r+b"):
        assert failure(client, str(busy)) == ("EXEC", 26)
    server.check_descriptors(before)
    assert client.info().counters.processes == 0


def test_spn_14_other_identities_need_the_configuration(client):
    for identity in (pb.Identity(uid=65534, gid=os.getgid()), pb.Identity(uid=os.getuid(), gid=65534),
                     pb.Identity(uid=2**32 - 1, gid=2**32 - 1)):
        with pytest.raises(Refused) as refused:
            client.spawn("/bin/true", identity=identity)
        assert refused.value.code == "PERMISSION_DENIED"


def test_spn_15_a_start_that_hangs_delays_nobody(client, clients, true, tmp_path):
    # Opening a fifo for reading waits for a writer: standard input hangs.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hanging = [client.start_spawn(true, stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo)))
               for _ in range(3)]
    other, begin = clients(), time.monotonic()
    for _ in range(20):
        assert other.spawn(true, hold_ms=1000).exit.kind == pb.EXIT_KIND_EXITED
    assert time.monotonic() - begin < 2
    with open(fifo, "w"):
        for call in hanging:
            assert client.await_exit(client.result(call)).code == 0


def test_lad_21_cancel_of_a_start_that_hangs_acts_after_it(client, clients, true, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hanging = client.start_spawn("/bin/sleep", "100",
                                 stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo)))
    other = clients()
    key = client.key(hanging[3])
    wait_for(lambda: [p for p in other.list() if p.state == pb.PROCESS_STATE_STARTING], "it starts")
    cancelling = other.start("Cancel", target=pb.Target(
        spawn=pb.SpawnKey(session_id=key[0], request_id=key[1])), rung=255, wait_ms=2000)
    assert other.info().counters.processes == 1  # a later call is answered; the cancel is not yet
    with open(fifo, "w"):
        assert other.result(cancelling).rung_reached == 3
    record = other.await_exit(client.result(hanging))
    assert (record.kind, record.signal) == (pb.EXIT_KIND_SIGNALED, 9)


def test_lad_16_cancel_notice_is_an_end_of_file_on_descriptor_3(client):
    answer = client.spawn(
        SH, "-c", "echo $SPAWND_CANCEL_FD; read x <&3; echo over; exit 4", stdout="pipe",
        ladder=[pb.Rung(action=pb.ACTION_CANCEL_NOTICE, scope=pb.SCOPE_LEADER, wait_ms=5000)],
        env={b"SPAWND_CANCEL_FD": b"wrong"})
    client.read_until(answer, b"3\n")
    client.cancel(answer, wait_ms=5000)
    assert client.read_all(answer)[0] == b"3\nover\n"
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.rung) == (pb.EXIT_KIND_EXITED, 4, 1)
    assert record.cause == pb.EXIT_CAUSE_CANCEL


def test_lad_16_close_stdin(client):
    answer = client.spawn("/bin/cat", stdin="pipe", stdout="pipe", ladder=[
        pb.Rung(action=pb.ACTION_CLOSE_STDIN, scope=pb.SCOPE_LEADER, wait_ms=5000)])
    client.write_stdin(answer, 0, b"text")
    client.read_until(answer, b"text")
    client.cancel(answer, wait_ms=5000)
    record = client.await_exit(answer)
    assert (record.kind, record.code, record.rung) == (pb.EXIT_KIND_EXITED, 0, 1)
