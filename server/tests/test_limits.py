"""Limits and settings of servers that were started with others. Clauses: docs/spec/11-limits.md."""
import os
import subprocess
import time

import pytest
from conftest import SPAWND, run_server, wait_for
from plain_client import LAST, Client, Connection, Refused, pb


def with_server(*arguments):
    for server in run_server(*arguments):
        client = Client(server.url)
        yield server, client
        client.close_connection()


def refusal(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value


def exhausted(call, name, most):
    refused = refusal(call)
    assert (refused.code, refused.detail) == ("RESOURCE_EXHAUSTED", "limit"), refused
    assert (refused.value.name, refused.value.max) == (name, most)


def test_spn_16_max_processes(child):
    for _, client in with_server("--max-processes", "4"):
        assert client.limits.max_processes == 4
        answers = [client.spawn(child, "pause") for _ in range(4)]
        request_id = client.new_id()
        spawn = lambda: client.call("Spawn", request_id=request_id,  # noqa: E731
                                    argv=[child.encode(), b"exit:3"])
        exhausted(spawn, "max_processes", 4)
        client.cancel(answers[0], rung=LAST)
        client.await_exit(answers[0])
        assert client.await_exit(spawn()).code == 3  # not recorded: the same id works now


def test_ext_9_max_unreleased(child, true):
    for server, client in with_server("--max-unreleased", "5"):
        answers = [client.spawn(true) for _ in range(5)]
        for answer in answers:
            client.await_exit(answer)
        exhausted(lambda: client.spawn(true), "max_unreleased", 5)
        with Connection(server.url) as connection:  # of one session
            assert Client(server.url, connection=connection).spawn(true, hold_ms=1000).exit.code == 0
        client.release(answers[0])
        assert client.spawn(true).process_id
        assert all(client.poll(answer).done for answer in answers[1:])


def test_awt_4_parked_calls(child):
    for _, client in with_server("--max-parked-session", "8", "--max-parked", "12"):
        assert (client.limits.max_parked_session, client.limits.max_parked) == (8, 12)
        answer = client.spawn(child, "pause", stdout="pipe")
        target = pb.Target(process_id=answer.process_id)
        parked = [client.start("AwaitExit", target=target, hold_ms=20_000) for _ in range(8)]
        wait_for(lambda: client.info().counters.parked == 8, "8 calls are parked")
        for _ in range(3):
            begin = time.monotonic()
            waited = client.poll(answer, hold_ms=20_000)
            assert not waited.done and waited.retry_after_ms > 0
            read = client.read(answer, hold_ms=20_000)
            assert not read.data and read.retry_after_ms > 0 and not read.eof
            assert time.monotonic() - begin < 2
        assert client.poll(answer, hold_ms=0).retry_after_ms == 0
        assert client.call("KeepAlive").lease_ms
        assert client.cancel(answer, rung=LAST).rung_reached == 3
        assert all(client.result(call).done for call in parked)


def test_ses_2_max_sessions(true):
    for server, client in with_server("--max-sessions", "3"):
        others = [Client(server.url) for _ in range(2)]
        exhausted(lambda: client.call("OpenSession", major=1), "max_sessions", 3)
        others[0].close_session()
        assert client.call("OpenSession", major=1).session_id


def test_spn_15_a_start_that_hangs_fails_in_time(true, tmp_path):
    fifo = {stream: tmp_path / stream for stream in ("stdin", "stdout")}
    for path in fifo.values():
        os.mkfifo(path)
    for server, client in with_server("--start-timeout-ms", "300"):
        assert client.spawn(true, hold_ms=1000).exit.code == 0
        before, begin = server.descriptors(), time.monotonic()
        calls = [client.start_spawn(true, **{stream: pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(fifo[stream]))})
                 for stream in ("stdin", "stdout") * 10]
        assert client.spawn(true, hold_ms=1000).exit.code == 0  # 16 hang at once; this one too may start
        for call in calls:
            refused = refusal(lambda: client.result(call))
            assert refused.detail == "start_failed" and refused.value.errno_code == 110
            assert refused.value.stage in (pb.START_STAGE_STDIN, pb.START_STAGE_STDOUT)
        assert 0.298 <= time.monotonic() - begin < 3
        server.check_descriptors(before)
        assert client.info().counters.processes == 0


def test_ext_10_records_outlive_their_session_for_the_retention(child, true):
    for server, client in with_server("--retention-ms", "400", "--retention-records", "3"):
        owner = Client(server.url)
        answers = [owner.spawn(true) for _ in range(5)]
        for answer in answers:
            owner.await_exit(answer)
        kept = owner.spawn(child, "pause", on_owner_lost=pb.ON_OWNER_LOST_KEEP)
        begin = time.monotonic()
        owner.close_session()
        assert client.poll(answers[4]).done
        left = [p.process_id for p in client.list(state=pb.PROCESS_STATE_ENDED)]
        assert left == [a.process_id for a in answers[2:]]  # the oldest went first
        wait_for(lambda: not client.list(state=pb.PROCESS_STATE_ENDED), "the retention is over")
        assert time.monotonic() - begin >= 0.398
        assert refusal(lambda: client.poll(answers[4])).code == "NOT_FOUND"
        assert not client.poll(kept).done  # counted from its end, not from the session's
        client.cancel(kept, rung=LAST)
        assert client.await_exit(kept).signal == 9
        owner.close_connection()


def test_trn_10_another_message_size():
    for server, client in with_server("--max-message-bytes", "131072"):
        limits = client.limits
        assert (limits.max_message_bytes, limits.max_launch_bytes, limits.max_read_bytes) == (
            131_072, 65_536, 126_976)
        with pytest.raises(Exception):
            client.call("Spawn", argv=[b"x" * 131_072], timeout=5)
        other = Client(server.url)
        assert refusal(lambda: other.spawn("/bin/true", b"x" * 65_536)).value.name == "max_launch_bytes"
        answer = other.spawn("/usr/bin/head", "-c", 300_000, "/dev/zero", stdout="pipe")
        assert len(other.read_all(answer)[0]) == 300_000
        other.close_connection()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes as others")
def test_spn_14_identities_that_the_configuration_allows(tmp_path):
    nobody, secret = 65534, tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("x")
    secret.chmod(0o700)
    tmp_path.chmod(0o755)
    for _, client in with_server("--allow-uids", str(nobody), "--allow-gids", f"{nobody},7"):
        assert client.opened.capabilities.identities
        who = pb.Identity(uid=nobody, gid=nobody, groups=[7])
        answer = client.spawn("/usr/bin/id", stdout="pipe", identity=who)
        text = client.read_all(answer)[0].decode()
        assert f"uid={nobody}(" in text and f"gid={nobody}(" in text and "7(lp)" in text
        assert "0(root)" not in text
        answer = client.spawn("/bin/grep", "-E", "^(Uid|Gid|Groups|CapPrm|CapEff)", "/proc/self/status",
                              stdout="pipe", identity=who)
        status = dict(line.split(":", 1) for line in client.read_all(answer)[0].decode().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == [str(nobody)] * 4
        assert status["Groups"].split() == ["7"]
        assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
        # SPN-27: judged by the child's rights.
        for fields, stage in ((dict(cwd=bytes(secret)), pb.START_STAGE_CWD),
                              (dict(stdin=pb.Stdio(kind=pb.STDIO_KIND_FILE, path=bytes(secret / "file"))),
                               pb.START_STAGE_STDIN)):
            refused = refusal(lambda: client.spawn("/bin/true", identity=who, **fields))
            assert (refused.value.stage, refused.value.errno_code) == (stage, 13)
        for uid, gid, groups in ((1, nobody, []), (nobody, 1, []), (nobody, nobody, [8])):
            refused = refusal(lambda: client.spawn("/bin/true", identity=pb.Identity(
                uid=uid, gid=gid, groups=groups)))
            assert refused.code == "PERMISSION_DENIED"
        # Its processes are cancelled all the same.
        answer = client.spawn("/bin/sleep", "100", identity=who)
        client.cancel(answer, rung=LAST)
        assert client.await_exit(answer).signal == 9


@pytest.mark.parametrize("arguments", [
    ["--listen", "tcp://127.0.0.1:0"], ["--listen", "abstract://x"], ["--listen", "ipc://relative"],
    ["--listen", "ipc:///nonexistent/folder/s"], ["--fly"], ["--max-sessions", "none"], ["--config"],
    ["--config", "/nonexistent"], ["--listen", "ipc:///tmp/" + "x" * 300], ["surplus"],
    ["--log-format", "xml"], ["--broker", "/nonexistent"]])
def test_wrong_arguments_are_refused_in_words(arguments):
    ended = subprocess.run([SPAWND, *arguments], capture_output=True, timeout=20)
    assert ended.returncode not in (0, -6, -11) and ended.returncode < 128
    assert ended.stderr and not ended.stdout


def test_help_and_version():
    for option in ("--help", "--version"):
        ended = subprocess.run([SPAWND, option], capture_output=True, text=True, timeout=20)
        assert ended.returncode == 0 and "spawnd" in ended.stdout and not ended.stderr
