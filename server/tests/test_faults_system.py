"""Rows of the fault matrix that need root and the kernel's help: freezers, frozen and hung file
systems, limits of memory and processes, and the sudden death of the server's own programs."""
import ctypes
import os
import pathlib
import signal
import subprocess
import time

import pytest
from conftest import descendants, libc, run_server, strays, wait_for
from plain_client import LAST, Client, Refused, pb, rung

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
KILL_SOON = [rung(9, "TREE", 300)]


def ready(client, child, *verbs, **fields):
    answer = client.spawn(child, *verbs, "ready", "pause", stdout="pipe", **fields)
    client.read_until(answer, b"ready")
    return answer


def check_blocked(server, client, answer, why):
    """KILL has acted and cannot take effect: it is said why, nothing spins, others are served."""
    wait_for(lambda: client.poll(answer).blocked, "it is blocked", timeout=5)
    waited = client.poll(answer)
    assert not waited.done and waited.blocked == why
    assert client.find(answer).blocked == why
    begin = time.monotonic()
    other = client.spawn("/bin/sleep", "100", ladder=KILL_SOON)
    client.cancel(other, rung=LAST)
    assert client.await_exit(other).signal == 9
    assert time.monotonic() - begin < 1
    assert not client.poll(answer, hold_ms=300).done


def cgroup_of(pid, controller):
    """The folder of the v1 cgroup that a process is in."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.split(":")[1] == controller:
            return pathlib.Path("/sys/fs/cgroup") / controller / line.split(":", 2)[2].lstrip("/")
    raise LookupError(controller)


@pytest.fixture
def v1_cgroup(request):
    """A cgroup of the v1 controller named by the parameter; removed at the end."""
    above = pathlib.Path("/sys/fs/cgroup") / request.param
    made = above / f"spawnd-test-{os.getpid()}"
    if not (above / "cgroup.procs").exists():
        pytest.skip(f"there is no v1 controller {request.param}")
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"{made} cannot be made: {error}")
    yield made
    if request.param == "freezer":
        (made / "freezer.state").write_text("THAWED")
    home = cgroup_of(os.getpid(), request.param)
    for pid in (made / "cgroup.procs").read_text().split():
        (home / "cgroup.procs").write_text(pid)
    wait_for(lambda: not (made / "cgroup.procs").read_text().split(), "the cgroup is empty")
    made.rmdir()


@pytest.mark.parametrize("v1_cgroup", ["freezer"], indirect=True)
def test_row_48_frozen_by_a_stranger(server, client, child, v1_cgroup):
    answer = ready(client, child, ladder=KILL_SOON)
    (v1_cgroup / "cgroup.procs").write_text(str(answer.pid))
    (v1_cgroup / "freezer.state").write_text("FROZEN")
    wait_for(lambda: (v1_cgroup / "freezer.state").read_text().strip() == "FROZEN", "it is frozen")
    client.cancel(answer, wait_ms=300)
    check_blocked(server, client, answer, pb.BLOCKED_FROZEN)
    (v1_cgroup / "freezer.state").write_text("THAWED")
    record = client.await_exit(answer, timeout=5)
    assert (record.signal, record.cause, record.rung) == (9, pb.EXIT_CAUSE_CANCEL, 1)


@pytest.fixture
def frozen_disk(tmp_path):
    """A small file system on a loop device; (its folder, freeze, thaw)."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop", image, folder]):
        try:
            made = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        if made.returncode:
            pytest.skip(f"{command[0]}: {made.stderr.strip()}")
    frozen = False

    def freeze(on):
        nonlocal frozen
        if frozen != on:
            subprocess.run(["fsfreeze", "-f" if on else "-u", folder], check=True)
            frozen = on

    try:
        yield folder, lambda: freeze(True), lambda: freeze(False)
    finally:
        freeze(False)
        wait_for(lambda: subprocess.run(["umount", folder], capture_output=True).returncode == 0,
                 "the file system is let go")


def test_row_50_uninterruptible_in_the_kernel(server, client, frozen_disk):
    folder, freeze, thaw = frozen_disk
    answer = client.spawn("/bin/sh", "-c", "echo ready; read x; exec dd if=/dev/zero of=file bs=4k",
                          cwd=bytes(folder), stdin="pipe", stdout="pipe", ladder=KILL_SOON)
    client.read_until(answer, b"ready")
    freeze()
    client.write_stdin(answer, 0, b"\n")
    state = pathlib.Path(f"/proc/{answer.pid}/stat")
    wait_for(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "D", "it hangs in the kernel")
    client.cancel(answer, wait_ms=300)
    check_blocked(server, client, answer, pb.BLOCKED_UNINTERRUPTIBLE)
    thaw()
    record = client.await_exit(answer, timeout=5)
    assert (record.signal, record.cause, record.rung) == (9, pb.EXIT_CAUSE_CANCEL, 1)


@pytest.fixture
def hung_mount(tmp_path):
    """A FUSE file system whose daemon never answers: whoever looks at it waits."""
    folder = tmp_path / "hung"
    folder.mkdir()
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/fuse: {error}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"spawnd-test", bytes(folder), b"fuse", 0, options):
        reason = os.strerror(ctypes.get_errno())
        os.close(device)
        pytest.skip(f"cannot mount: {reason}")
    try:
        yield folder
    finally:
        os.close(device)  # ends every wait on it
        libc.umount2(bytes(folder), 2)


def test_spn_15_starts_that_hang_on_a_file_system_delay_nobody(hung_mount, true):
    for server in run_server("--start-timeout-ms", "700"):
        client = Client(server.url)
        client.spawn(true, hold_ms=1000)
        before, begin = server.descriptors(), time.monotonic()
        hanging = [client.start_spawn(true, cwd=bytes(hung_mount)) for _ in range(4)]
        hanging += [client.start_spawn(hung_mount / "program") for _ in range(4)]
        for _ in range(20):
            assert client.spawn(true, hold_ms=1000).exit.code == 0
        assert time.monotonic() - begin < 0.6
        stages = []
        for call in hanging:
            with pytest.raises(Refused) as refused:
                client.result(call)
            assert refused.value.value.errno_code == 110
            stages.append(refused.value.value.stage)
        assert stages == [pb.START_STAGE_CWD] * 4 + [pb.START_STAGE_EXEC] * 4
        assert 0.69 <= time.monotonic() - begin < 3
        server.check_descriptors(before)
        assert client.info().counters.processes == 0
        client.close_session()
        client.close_connection()


@pytest.mark.parametrize("v1_cgroup", ["memory"], indirect=True)
def test_row_22_out_of_memory_is_no_ladders_kill(client, v1_cgroup):
    (v1_cgroup / "memory.limit_in_bytes").write_text(str(16 << 20))
    answer = client.spawn("/bin/sh", "-c",
                          f"echo $$ > {v1_cgroup}/cgroup.procs && exec tail /dev/zero")
    record = client.await_exit(answer)
    assert (record.kind, record.signal, record.rung) == (pb.EXIT_KIND_SIGNALED, 9, 0)
    assert record.cause in (pb.EXIT_CAUSE_OUT_OF_MEMORY, pb.EXIT_CAUSE_OUTSIDE_SIGNAL)
    assert not record.journal


@pytest.mark.parametrize("v1_cgroup", ["pids"], indirect=True)
def test_row_25_no_more_processes(server, client, child, v1_cgroup):
    answer = ready(client, child, ladder=KILL_SOON)
    before = server.descriptors()
    (v1_cgroup / "cgroup.procs").write_text(str(server.root))
    (v1_cgroup / "pids.max").write_text("1")
    request_id = client.new_id()
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            client.call("Spawn", request_id=request_id, argv=[child.encode(), b"exit:4"])
        assert refused.value.code == "RESOURCE_EXHAUSTED"
    client.cancel(answer, rung=LAST)  # what ends processes needs no new one
    assert client.await_exit(answer).signal == 9
    (v1_cgroup / "pids.max").write_text("max")
    record = client.await_exit(client.call("Spawn", request_id=request_id,
                                           argv=[child.encode(), b"exit:4"]))
    assert record.code == 4  # not recorded: the same id works now
    server.check_descriptors(before)


@pytest.mark.parametrize("victim", ["guard", "root"])
def test_row_r1_nothing_outlives_the_server(child, victim):
    for server in run_server():
        client = Client(server.url)
        calls = [client.start_spawn(child, "ignore:15", "daemon", "ignore:15", "pause", "--", "pause",
                                    on_owner_lost=pb.ON_OWNER_LOST_KEEP) for _ in range(1000)]
        assert all(client.result(call).process_id for call in calls)
        wait_for(lambda: len(descendants(server.pid)) >= 2002, "all trees are there", timeout=60)
        begin = time.monotonic()
        os.kill(getattr(server, victim), signal.SIGKILL)
        server.wait(10)
        wait_for(lambda: not strays(zombies=False), "nothing of it is left", timeout=10)
        took = time.monotonic() - begin
        print(f"{victim} killed: 2,000 processes were gone after {took * 1000:.0f} ms")
        assert took < 3  # one second on a machine that does nothing else
        for name in os.listdir(server.folder / "run"):
            os.unlink(server.folder / "run" / name)  # nobody was left to do it
        for pid in strays():
            os.waitpid(pid, 0)
        assert client.connection.is_closed(5)
        client.close_connection()
