"""Output and standard input. Clauses: docs/spec/09-stream.md."""
import hashlib
import os
import time

import pytest
from conftest import wait_for
from plain_client import LAST, Refused, pb, rung

RING = 64 << 10


def pipe(policy=None, ring_bytes=RING):
    return pb.Stdio(kind=pb.STDIO_KIND_PIPE, ring_bytes=ring_bytes,
                    policy=policy or pb.RING_POLICY_DROP_OLDEST)


BLOCK = pb.RING_POLICY_BLOCK


def numbers(count):
    return b"".join(b"%d\n" % i for i in range(1, count + 1))


def seq(client, count, **stdout):
    return client.spawn("/usr/bin/seq", "1", count, stdout=pipe(**stdout))


def test_str_5_a_small_ring_that_makes_the_writer_wait_loses_nothing(client):
    answer = seq(client, 200_000, policy=BLOCK)
    text, eof = client.read_all(answer)
    assert (text, eof) == (numbers(200_000), pb.EOF_CLOSED)
    assert client.await_exit(answer).code == 0


def test_str_5_the_writer_waits_until_the_owner_releases(client, clients):
    answer = seq(client, 200_000, policy=BLOCK)
    client.read_until(answer, b"9000\n")  # reading alone frees nothing
    assert not client.poll(answer, hold_ms=300).done
    other = clients()
    piece = other.read(answer, offset=50_000, release=50_000)  # not the owner's session (STR-2)
    assert piece.offset == 50_000
    assert not client.poll(answer, hold_ms=300).done
    assert client.read(answer).offset == 0
    text, _ = client.read_all(answer)
    assert text == numbers(200_000)


def test_str_5_drop_oldest_keeps_the_newest_and_counts_the_rest(client):
    whole = numbers(200_000)
    answer = seq(client, 200_000)
    assert client.await_exit(answer).code == 0
    wait_for(lambda: client.read(answer, offset=len(whole)).eof, "the stream has ended")
    piece = client.read(answer, max=1 << 20)
    assert 0 < piece.offset <= len(whole) - RING // 2
    assert piece.data == whole[piece.offset:piece.offset + len(piece.data)]
    assert piece.offset + len(piece.data) == len(whole) and piece.eof == pb.EOF_CLOSED
    assert client.read(answer, offset=10, max=1 << 20) == piece  # repeating is harmless


def test_str_5_without_an_owner_nobody_makes_the_writer_wait(clients):
    owner, other = clients(), clients()
    answer = owner.spawn("/usr/bin/seq", "1", "200000", stdout=pipe(policy=BLOCK),
                         on_owner_lost=pb.ON_OWNER_LOST_KEEP)
    owner.read_until(answer, b"9000\n")
    assert not other.poll(answer, hold_ms=200).done
    owner.close_session()
    assert other.await_exit(answer).code == 0
    assert other.read(answer, max=1 << 20).offset > 0


def test_str_2_released_bytes_read_as_a_gap(client, child):
    answer = client.spawn(child, "say:0123456789", "pause", stdout=pipe())
    client.read_until(answer, b"9\n")
    assert client.read(answer, offset=11, release=6, hold_ms=0).data == b""
    piece = client.read(answer, offset=0)
    assert piece.offset + len(piece.data) == 11 and piece.data == b"0123456789\n"[piece.offset:]
    with pytest.raises(Refused) as refused:
        client.read(answer, offset=3, release=4)
    assert refused.value.code == "INVALID_ARGUMENT" and refused.value.value.path == "release"


def test_str_3_max(client, child):
    answer = client.spawn("/usr/bin/head", "-c", 600_000, "/dev/zero",
                          stdout=pipe(ring_bytes=1 << 20))
    client.await_exit(answer)
    wait_for(lambda: client.read(answer, offset=600_000).eof, "the stream has ended")
    assert len(client.read(answer, max=1).data) == 1
    assert len(client.read(answer, max=0).data) == 262_144
    assert len(client.read(answer, max=2**32 - 1).data) == 600_000
    assert client.read(answer, offset=600_000).eof == pb.EOF_CLOSED


def test_str_7_reading_ahead_parks_until_the_bytes_come(client, child):
    answer = client.spawn(child, "sleep:150", "say:abcdefghi", "sleep:150", "say:jklm", "pause",
                          stdout=pipe())
    target = pb.Target(process_id=answer.process_id)
    calls = [client.start("ReadOutput", target=target, stream=pb.STREAM_STDOUT, offset=offset,
                          max=10, hold_ms=10_000) for offset in (0, 10)]
    assert [client.result(call).data for call in calls] == [b"abcdefghi\n", b"jklm\n"]
    begin = time.monotonic()
    empty = client.read(answer, offset=1000, hold_ms=100)
    assert time.monotonic() - begin >= 0.098
    assert (empty.offset, empty.data, empty.eof) == (1000, b"", pb.EOF_UNSPECIFIED)


def test_str_6_eof_past_the_end(client, child):
    answer = client.spawn(child, "say:x", stdout=pipe())
    client.await_exit(answer)
    wait_for(lambda: client.read(answer, offset=2).eof, "the stream has ended")
    for offset in (2, 3, 10**9):
        piece = client.read(answer, offset=offset, hold_ms=5000)
        assert (piece.data, piece.eof) == (b"", pb.EOF_CLOSED)


def test_str_6_a_pipe_held_by_an_outsider_is_closed_by_force(client, child):
    answer = client.spawn(child, "say:text", "ready", "pause", stdout=pipe())
    client.read_until(answer, b"ready")
    # Somebody outside the tree opens the same pipe for writing.
    outsider = os.open(f"/proc/{answer.pid}/fd/1", os.O_WRONLY)
    try:
        begin = time.monotonic()
        client.cancel(answer, rung=LAST)
        record = client.await_exit(answer)
        assert record.tree_empty and time.monotonic() - begin < 1
        text, eof = client.read_all(answer)
        assert (text, eof) == (b"text\nready\n", pb.EOF_FORCED)
        assert time.monotonic() - begin < 1.5
        with pytest.raises(BrokenPipeError):
            os.write(outsider, b"late")
    finally:
        os.close(outsider)


def test_str_6_a_member_that_holds_the_pipe_does_not_hold_back_the_leaders_exit(client, child):
    answer = client.spawn(child, "daemon", "sleep:300", "say:late", "--", "exit:5", stdout=pipe(),
                          on_leader_exit=pb.ON_LEADER_EXIT_KEEP)
    begin = time.monotonic()
    assert client.await_exit(answer, until=pb.UNTIL_LEADER_EXIT).code == 5
    assert time.monotonic() - begin < 0.25
    assert client.read_all(answer) == (b"late\n", pb.EOF_CLOSED)


def test_str_1_streams_that_are_not_pipes(client, child):
    answer = client.spawn(child, "pause", stdout=pipe())
    for call in (lambda: client.read(answer, pb.STREAM_STDERR),
                 lambda: client.write_stdin(answer, 0, b"x")):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == "FAILED_PRECONDITION"
    for stream in (77, 3):
        with pytest.raises(Refused) as refused:
            client.read(answer, stream)
        assert refused.value.code == "INVALID_ARGUMENT" and refused.value.value.path == "stream"


def test_str_5_a_flood_that_nobody_reads_delays_nobody(client, clients, true):
    flood = client.spawn("/bin/sh", "-c", "exec cat /dev/zero", stdout=pipe())
    other, worst = clients(), 0
    for _ in range(100):
        begin = time.monotonic()
        other.spawn(true, hold_ms=1000)
        worst = max(worst, time.monotonic() - begin)
    assert worst < 0.5
    client.cancel(flood, rung=LAST)
    assert client.await_exit(flood).signal == 9


def test_str_8_standard_input_is_exactly_once(client):
    answer = client.spawn("/bin/cat", stdin="pipe", stdout=pipe())
    assert client.write_stdin(answer, 0, b"abc").offset == 3
    assert client.write_stdin(answer, 0, b"abc").offset == 3  # a repetition
    assert client.write_stdin(answer, 1, b"bcde").offset == 5  # overlapping
    with pytest.raises(Refused) as refused:
        client.write_stdin(answer, 6, b"x")
    assert refused.value.code == "OUT_OF_RANGE"
    assert (refused.value.value.name, refused.value.value.max) == ("offset", 5)
    assert client.write_stdin(answer, 5, b"").offset == 5
    closed = client.write_stdin(answer, 3, b"defgh", close=True, hold_ms=5000)
    assert (closed.offset, closed.closed) == (8, True)
    assert client.read_all(answer) == (b"abcdefgh", pb.EOF_CLOSED)
    assert client.await_exit(answer).code == 0
    late = client.write_stdin(answer, 8, b"more")
    assert late.closed and late.offset == 8


def test_str_9_more_than_a_pipe_holds(client):
    data = os.urandom(1 << 20) * 4
    answer = client.spawn("/usr/bin/sha256sum", stdin="pipe", stdout=pipe())
    offset, most = 0, client.limits.max_write_bytes
    while offset < len(data):
        offset = client.write_stdin(answer, offset, data[offset:offset + most], hold_ms=5000).offset
    client.write_stdin(answer, offset, b"", close=True, hold_ms=5000)
    assert client.read_all(answer)[0].split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_str_9_nobody_reads(client, child):
    answer = client.spawn(child, "pause", stdin="pipe")
    offset, most = 0, client.limits.max_write_bytes
    while True:
        taken = client.write_stdin(answer, offset, b"x" * most, hold_ms=50)
        if taken.offset == offset:
            break
        offset = taken.offset
    assert 4096 <= offset <= 2 << 20 and not taken.closed and not taken.broken
    with pytest.raises(Refused) as refused:
        client.write_stdin(answer, offset, b"x" * (most + 1))
    assert refused.value.code == "INVALID_ARGUMENT" and refused.value.value.name == "max_write_bytes"


def test_str_10_a_reader_that_is_gone(client, child):
    answer = client.spawn(child, "close", "pause", stdin="pipe")

    def broken():
        return client.write_stdin(answer, 0, b"x", hold_ms=1000).broken
    wait_for(broken, "nobody reads it any more")
    assert client.write_stdin(answer, 0, b"x", hold_ms=1000).broken


def test_str_10_a_rung_closes_standard_input(client):
    answer = client.spawn("/bin/sh", "-c", "cat; sleep 100", stdin="pipe", stdout=pipe(), ladder=[
        pb.Rung(action=pb.ACTION_CLOSE_STDIN, scope=pb.SCOPE_LEADER, wait_ms=300),
        rung(15, "TREE", 300)])
    client.write_stdin(answer, 0, b"x")
    client.cancel(answer, wait_ms=20_000)
    assert client.write_stdin(answer, 1, b"y").closed


def test_spn_22_ring_sizes(client, child):
    most = client.limits.max_ring_bytes
    with pytest.raises(Refused) as refused:
        client.spawn(child, "pause", stdout=pipe(ring_bytes=most + 1))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert (refused.value.value.name, refused.value.value.max) == ("max_ring_bytes", most)
    answer = client.spawn("/usr/bin/head", "-c", 3 << 20, "/dev/zero", stdout=pipe(ring_bytes=most))
    client.await_exit(answer)
    assert len(client.read_all(answer)[0]) == 3 << 20


def test_str_1_two_streams_at_once_by_two_readers(client, clients):
    answer = client.spawn("/bin/sh", "-c", "seq 1 20000; seq 1 20000 >&2", stdout=pipe(policy=BLOCK),
                          stderr=pipe(policy=BLOCK))
    assert client.read_all(answer)[0] == numbers(20_000)
    assert client.read_all(answer, pb.STREAM_STDERR)[0] == numbers(20_000)
    other = clients()
    tail = other.read(answer, offset=len(numbers(20_000)))
    assert tail.eof == pb.EOF_CLOSED
