"""spawnctl run: a command as if it were run here."""
import hashlib
import json
import os
import subprocess
import threading

import as_proto
import pytest
from conftest import LIMIT_S, SPAWNCTL
from server_harness import BROKER, wait_for

MIB = 1 << 20


def record_of(ctl, tmp_path, *command, code, options=()):
    path = tmp_path / "record"
    ctl("run", f"--record={path}", *options, "--", *command, code=code)
    record = json.loads(path.read_text())
    as_proto.check("ExitRecord", record)
    return record


def test_output_on_the_right_streams_and_the_exit_status(ctl):
    done = ctl("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_killed_and_exited_137_are_told_apart(ctl, tmp_path):
    record = record_of(ctl, tmp_path, "sh", "-c", "kill -9 $$", code=137)
    assert (record["kind"], record["signal"], record["cause"]) == ("SIGNALED", 9, "OUTSIDE_SIGNAL")
    record = record_of(ctl, tmp_path, "sh", "-c", "exit 137", code=137)
    assert (record["kind"], record["code"], record["cause"]) == ("EXITED", 137, "ITSELF")


def test_the_record_in_words(ctl):
    done = ctl("run", "--record", "sh", "-c", "kill -9 $$", code=137)
    text = done.stderr.decode()
    assert ": killed by signal 9 (KILL), sent from outside, after 0." in text
    assert "o  started" in text and "o  tree empty, proof " in text


def test_the_record_as_json_on_standard_error(ctl):
    done = ctl("run", "--json", "--", "sh", "-c", "echo out; exit 3", code=3)
    record = json.loads(done.stderr)
    as_proto.check("ExitRecord", record)
    assert (done.stdout, record["code"]) == (b"out\n", 3)


def test_a_missing_program(ctl, tmp_path):
    path = tmp_path / "record"
    done = ctl("run", f"--record={path}", "/no/such", code=127)
    assert done.stderr.decode() == ("spawnctl: could not start: exec: No such file or directory "
                                    "(ENOENT): /no/such\n")
    record = json.loads(path.read_text())
    as_proto.check("ExitRecord", record)
    assert record["kind"] == "START_FAILED"
    assert record["start_failed"] == {"stage": "EXEC", "errno_code": 2}
    assert record["process_id"] == "0" * 16 and record["session_id"] != "0" * 16
    assert record["spawn_request_id"] > 0


@pytest.mark.parametrize("command, options, code, words", [
    (["no-such-name"], [], 127, "exec: No such file"),
    (["/etc/passwd"], [], 126, "exec: Permission denied"),
    (["/"], [], 126, "exec: Permission denied"),
    (["true"], ["--cwd", "/no/such"], 125, "cwd: No such file"),
], ids=["name", "file", "folder", "cwd"])
def test_what_cannot_be_started(ctl, command, options, code, words):
    assert words in ctl("run", *options, "--", *command, code=code).stderr.decode()


def test_environment_directory_and_umask_are_those_of_here(ctl, tmp_path):
    script = 'echo "$HERE $(pwd) $(umask)"'
    done = ctl("run", "sh", "-c", script, cwd=tmp_path, env={**ctl.environment, "HERE": "yes"},
               preexec_fn=lambda: os.umask(0o027))
    assert done.stdout.decode() == f"yes {tmp_path} 0027\n"


def test_environment_directory_and_umask_as_asked(ctl, tmp_path):
    done = ctl("run", "--clear-env", "-e", "A=1", "-eB=", "-e", "A=2", "/usr/bin/env")
    assert sorted(done.stdout.split(b"\n")) == [b"", b"A=2", b"B="]
    done = ctl("run", "-C", "below", "--umask", "077", "sh", "-c", "pwd; umask",
               cwd=(os.mkdir(tmp_path / "below"), tmp_path)[1])
    assert done.stdout.decode() == f"{tmp_path}/below\n0077\n"


def test_a_path_is_meant_from_its_working_directory(ctl, tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\necho \"$0\"\n")
    os.chmod(tmp_path / "tool", 0o755)
    assert ctl("run", "./tool", cwd=tmp_path).stdout == f"{tmp_path}/./tool\n".encode()
    assert ctl("run", "-C", str(tmp_path), "./tool").stdout == f"{tmp_path}/./tool\n".encode()


def test_sort_of_a_million_numbers(ctl):
    numbers = b"".join(b"%d\n" % i for i in range(1, 1000001))
    wanted = b"".join(b"%d\n" % i for i in range(1000000, 0, -1))
    done = ctl("run", "--", "sort", "-rn", data=numbers)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(wanted).digest()


def test_an_empty_input_is_an_end_of_file(ctl):
    assert ctl("run", "cat", data=b"").stdout == b""


def test_a_reader_that_ends_early_ends_nothing(ctl):
    done = ctl("run", "head", "-n", "1", data=b"line\n" * MIB)
    assert (done.stdout, done.stderr) == (b"line\n", b"")


def test_input_arrives_while_it_is_being_written(ctl):
    client = ctl.start("run", "cat")
    for line in (b"one\n", b"two\n"):
        os.write(client.stdin.fileno(), line)
        assert client.stdout.readline() == line
    client.stdin.close()
    assert client.stdout.read() == b""
    assert client.wait(LIMIT_S) == 0


def test_without_standard_descriptors(ctl, tmp_path):
    path = tmp_path / "out"
    script = f'"$0" run sh -c "cat; echo done >{path}" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, SPAWNCTL], env=ctl.environment, timeout=LIMIT_S)
    assert done.returncode == 0
    assert path.read_text() == "done\n"


def count_stream(stream):
    total, wrong = 0, False
    while block := stream.read(MIB):
        wrong = wrong or block.strip(b"y\n") != b""
        total += len(block)
    return total, wrong


def sanitized():
    """Whether the server is built with a sanitizer, whose shadow memory would be counted."""
    return b"__asan_init" in BROKER.read_bytes() or b"__tsan_init" in BROKER.read_bytes()


def stream_whole(ctl, server, size):
    highest = [0]
    over = threading.Event()

    def watch():
        while not over.wait(0.02):
            highest[0] = max(highest[0], *server.rss_kib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        client = ctl.start("run", "sh", "-c", f"yes | head -c {size}", stdin=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        total, wrong = count_stream(client.stdout)
        assert client.wait(LIMIT_S) == 0
    finally:
        over.set()
        watcher.join()
    assert total == size and not wrong
    if not sanitized():
        assert highest[0] < 64 * 1024, f"{highest[0]} KiB"


def test_256_mib_arrive_whole_in_little_memory(ctl, server):
    stream_whole(ctl, server, 256 * MIB)


@pytest.mark.soak
def test_1_gib_arrives_whole_in_little_memory(ctl, server):
    stream_whole(ctl, server, 1024 * MIB)


def test_a_slow_reader_makes_the_writer_wait(ctl, server):
    client = ctl.start("run", "sh", "-c", "yes | head -c 33554432; echo end >&2")
    assert client.stdout.read(1) == b"y"
    busy = ctl.json("ps")
    assert [process["state"] for process in busy] == ["RUNNING"]
    total, wrong = count_stream(client.stdout)
    assert (total, wrong) == (33554431, False)
    assert client.stderr.read() == b"end\n"
    assert client.wait(LIMIT_S) == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nobody_reads_any_more(ctl, stream):
    client = ctl.start("run", "--ladder", "TERM 5s", "sh", "-c",
                       "yes" if stream == "stdout" else "yes >&2")
    assert getattr(client, stream).read(2) == b"y\n"
    getattr(client, stream).close()
    assert client.wait(LIMIT_S) == 141


def test_a_full_disk_stops_it(ctl):
    with open("/dev/full", "wb") as full:
        client = ctl.start("run", "yes", stdout=full)
        errors = client.stderr.read().decode()
        assert client.wait(LIMIT_S) == 125
    assert "standard output: No space left on device" in errors


def test_what_is_left_behind_is_stopped(ctl, tmp_path):
    record = record_of(ctl, tmp_path, "sh", "-c", "sleep 300 & exit 4", code=4)
    assert record["tree_empty"]
    assert [(rung["rung"], rung["skipped"]) for rung in record["journal"]] == [
        (1, True), (2, False)]


def test_run_time(ctl, tmp_path):
    record = record_of(ctl, tmp_path, "sleep", "300", code=130, options=["-t", "200ms"])
    assert (record["cause"], record["rung"]) == ("DEADLINE", 1)
    assert 200 <= record["journal"][0]["at_ms"] < 1500


def test_names_are_unique_among_the_living(ctl):
    holder = ctl.start("run", "--name", "unique", "cat")
    process = wait_for(lambda: ctl.json("ps", "--name", "unique"), "it runs")[0]
    done = ctl("run", "--name", "unique", "true", code=125)
    assert process["process_id"] in done.stderr.decode()
    holder.stdin.close()
    assert holder.wait(LIMIT_S) == 0
    ctl("run", "--name", "unique", "true")


def test_the_record_is_released_unless_it_is_to_be_kept(ctl):
    ctl("run", "--name", "kept", "--keep-record", "true")
    ctl("run", "--name", "gone", "true")
    kept = ctl.json("ps", "--all", "--name", "kept")
    assert [process["state"] for process in kept] == ["ENDED"]
    assert ctl.json("ps", "--all", "--name", "gone") == []
    ctl("release", kept[0]["process_id"])
    assert ctl.json("ps", "--all", "--name", "kept") == []
