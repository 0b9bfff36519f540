"""The forkserver alone: output through the rings, standard input."""
import os
import pathlib
import time

import pytest
from conftest import wait_for
from forkserver_link import (BLOCK, CLOSED, DROP_OLDEST, FORCED, KILL, PIPE, TRUE, cpu_ticks,
                             stdio)
from forkserver_link import root, roots  # noqa: F401, fixtures

NUMBERS = b"".join(b"%d\n" % n for n in range(1, 100_001))
SEQ = ["/usr/bin/seq", "1", "100000"]
RING = 65536


def test_drop_oldest(root):
    process, started = root.spawn(SEQ, io=[stdio(), stdio(PIPE)])
    root.ended(process)
    data, state = root.output(process, started)
    assert (state.head, state.tail, state.eof) == (len(NUMBERS), len(NUMBERS) - RING, CLOSED)
    assert data == NUMBERS[-RING:]


def test_block_loses_nothing(root):
    process, started = root.spawn(SEQ, io=[stdio(), stdio(PIPE, policy=BLOCK)])
    got, past, eof = b"", 0, 0
    while not eof:
        state = root.state(process, past)
        assert state.tail <= past and state.head - past <= started.out_size
        got += root.ring_bytes(started.out_offset, started.out_size, past, state.head)
        past, eof = state.head, state.eof
        root.consumed(process, past)
    assert got == NUMBERS and eof == CLOSED
    root.ended(process)


def test_consumed_is_monotone_and_within_the_stream(root):
    process, started = root.spawn(SEQ, io=[stdio(), stdio(PIPE, policy=BLOCK)])
    wait_for(lambda: root.state(process, now=1).head == RING, "the ring is full")
    root.consumed(process, RING + 1)
    assert root.state(process, now=1).head == RING, "past the head: ignored"
    root.consumed(process, 1000)
    wait_for(lambda: root.state(process, now=1).head == RING + 1000, "room for 1,000 bytes")
    root.consumed(process, 500)
    state = root.state(process, now=1)
    assert (state.head, state.tail) == (RING + 1000, 1000)
    root.act(process, rung=1, signal=KILL)
    root.ended(process)


def test_a_full_ring_makes_the_writer_wait_until_its_owner_is_lost(root):
    process, started = root.spawn(SEQ, io=[stdio(), stdio(PIPE, policy=BLOCK)])
    wait_for(lambda: root.state(process, now=1).head == RING, "the ring is full")
    assert not root.has("LEADER_EXITED", process_id=process)
    root.policy(process, DROP_OLDEST)
    assert root.ended(process)[0].status == 0
    assert root.output(process, started)[0] == NUMBERS[-RING:]


def test_a_full_ring_outlives_its_writers(root):
    """All writers are gone: what the pipe holds is kept until it can be taken."""
    process, started = root.spawn(["/bin/sh", "-c", "head -c 100000 /dev/zero"],
                                  io=[stdio(), stdio(PIPE, policy=BLOCK)])
    root.ended(process)
    wait_for(lambda: root.state(process, now=1).head == RING, "the ring is full")
    time.sleep(0.3)  # beyond the time when a held pipe is ended by force
    assert root.state(process, now=1).eof == 0
    root.consumed(process, RING)
    _, state = root.output(process, started)
    assert (state.head, state.eof) == (100000, CLOSED)


@pytest.mark.parametrize("policy", [DROP_OLDEST, BLOCK])
def test_a_held_pipe_is_ended_by_force(root, policy):
    process, started = root.spawn(["/bin/sh", "-c", "head -c 80000 /dev/zero; exec sleep 1000"],
                                  io=[stdio(), stdio(PIPE, policy=policy)])
    holder = os.open(f"/proc/{started.pid}/fd/1", os.O_WRONLY)  # somebody outside the tree
    expected = RING if policy == BLOCK else 80000
    wait_for(lambda: root.state(process, now=1).head == expected, "it has written")
    comm = pathlib.Path(f"/proc/{started.pid}/comm")
    wait_for(lambda: comm.read_text() == "sleep\n", "all of it is written")
    root.act(process, rung=1, signal=KILL, scope="TREE")
    root.ended(process)
    if policy == BLOCK:
        assert root.state(process, now=1).eof == 0, "14,464 bytes are still in the pipe"
        root.consumed(process, RING)
    _, state = root.output(process, started)
    assert (state.head, state.eof) == (80000, FORCED)
    os.close(holder)


def test_a_stranger_cannot_keep_a_stream_going(root):
    """Somebody outside the tree who writes on and on is cut off as well."""
    process, started = root.spawn(["/bin/sleep", "1000"], io=[stdio(), stdio(PIPE)])
    holder = os.open(f"/proc/{started.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    root.act(process, rung=1, signal=KILL, scope="TREE")
    root.watch(process, past=1 << 60)

    def write_until_end():
        try:
            os.write(holder, b"x" * 1000)
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return True
        return root.has("STREAM_STATE", process_id=process)
    wait_for(write_until_end, "the end")
    assert root.expect("STREAM_STATE", process_id=process).eof == FORCED
    root.ended(process)
    os.close(holder)


def test_both_streams_apart(root):
    process, started = root.spawn(["/bin/sh", "-c", "echo out; echo err >&2"],
                                  io=[stdio(), stdio(PIPE), stdio(PIPE)])
    root.ended(process)
    assert root.output(process, started, 0)[0] == b"out\n"
    assert root.output(process, started, 1)[0] == b"err\n"
    assert root.state(root.spawn([TRUE])[0]).eof == CLOSED, "not a pipe: nothing to come"


def test_a_drip_costs_little(root):
    """A writer of single bytes must not keep the root busy."""
    process, _ = root.spawn(["/usr/bin/python3", "-c", "import os\nwhile True: os.write(1, b'x')"],
                            io=[stdio(), stdio(PIPE)])
    wait_for(lambda: root.state(process, now=1).head > 1000, "it writes")
    before = cpu_ticks(root.hello.root_pid)
    time.sleep(1)  # what is measured is a span of time
    used = cpu_ticks(root.hello.root_pid) - before
    print(f"a drip costs {used} % of a core")
    assert used < 40
    root.act(process, rung=1, signal=KILL)
    root.ended(process)


def test_a_flood_is_taken_and_delays_nobody(root):
    flood, _ = root.spawn(["/usr/bin/yes"], io=[stdio(), stdio(PIPE, ring=1 << 20)])
    begun, first, times = time.monotonic(), root.state(flood, now=1).head, []
    while time.monotonic() - begun < 2:
        start = time.monotonic()
        process, _ = root.spawn([TRUE])
        root.ended(process)
        root.drop(process)
        times.append(time.monotonic() - start)
    rate = (root.state(flood, now=1).head - first) / (time.monotonic() - begun) / 1e6
    print(f"{rate:.0f} MB/s beside; spawn to end: median {sorted(times)[len(times) // 2]:.5f} s")
    assert rate > 50 and sorted(times)[len(times) // 2] < 0.1
    root.act(flood, rung=1, signal=KILL)
    root.ended(flood)


def test_rings_are_given_back(root):
    """Nothing that one process wrote is seen in another's ring, and memory goes back."""
    for _ in range(20):
        process, started = root.spawn(["/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"],
                                      io=[stdio(), stdio(PIPE, ring=1 << 20)])
        root.ended(process)
        assert root.output(process, started)[0] == b"x" * 1000000
        root.drop(process)
    process, started = root.spawn([TRUE], io=[stdio(), stdio(PIPE, ring=1 << 20)])
    root.ended(process)
    assert root.ring_bytes(started.out_offset, 1 << 20, 0, 1 << 20) == bytes(1 << 20)
    assert os.fstat(root.arena_fd).st_blocks * 512 < 1 << 21


def test_the_arena_is_read_only(root):
    with pytest.raises(OSError):
        os.write(root.arena_fd, b"x")
    with pytest.raises(OSError):
        os.ftruncate(root.arena_fd, 0)
    assert os.fstat(root.arena_fd).st_mode & 0o777 == 0o400


# --- standard input ------------------------------------------------------------------------------

def test_stdin_by_offset(root):
    process, started = root.spawn(["/bin/cat"], io=[stdio(PIPE), stdio(PIPE)])
    assert root.write(process, 0, b"one ").offset == 4
    assert root.write(process, 0, b"one ").offset == 4, "a repeat is not taken"
    assert root.write(process, 9, b"gap").offset == 4
    state = root.write(process, 4, b"two", close=1)
    assert (state.offset, state.closed, state.broken) == (7, 1, 0)
    root.ended(process)
    assert root.output(process, started)[0] == b"one two"


def test_stdin_says_when_there_is_room(root, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    process, started = root.spawn(["/bin/sh", "-c", f"read x < {go}; wc -c"],
                                  io=[stdio(PIPE), stdio(PIPE)])
    total, sent, room = 1_000_000, 0, 1
    while room:
        state = root.write(process, sent, b"x" * 61440)
        sent, room = state.offset, state.room
    assert 0 < sent < total
    assert root.write(process, sent, b"x").room == 0
    go.write_text("go\n")
    assert root.expect("STDIN_STATE", process_id=process).room == 1
    while not state.closed:
        rest = min(61440, total - sent)
        state = root.write(process, sent, b"x" * rest, close=int(sent + rest == total))
        sent = state.offset
        if not state.room and not state.closed:
            root.expect("STDIN_STATE", process_id=process, room=1)
    assert (sent, state.broken) == (total, 0)
    root.ended(process)
    assert root.output(process, started)[0].split() == [b"1000000"]


def test_stdin_that_nobody_reads(root):
    process, _ = root.spawn(["/bin/sh", "-c", "exec 0</dev/null; sleep 1000"], io=[stdio(PIPE)])
    state = root.expect("STDIN_STATE", process_id=process)
    assert (state.closed, state.broken) == (1, 1)
    assert root.write(process, 0, b"x").broken == 1
    root.act(process, rung=1, signal=KILL, scope="TREE")
    root.ended(process)
