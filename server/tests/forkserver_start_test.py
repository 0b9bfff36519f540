"""The forkserver alone: starts, what a child sees, exits, refusals."""
import ctypes
import errno
import os
import pathlib
import resource
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time

import pytest
from conftest import descendants, needs_entry, wait_for
from forkserver_link import (CHILD, DUMPED, E, EXITED, FILE, KILL, KILLED, PIPE, SUBREAPER, TERM,
                             TO_STDOUT, TRUE, failed, fds, launch_bytes, ready, refused, sealed,
                             stage, stdio)
from forkserver_link import root, roots  # noqa: F401, fixtures

libc = ctypes.CDLL(None, use_errno=True)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# --- exits ---------------------------------------------------------------------------------------

def test_exit_codes_are_exact(root):
    for code in (0, 1, 7, 127, 137, 143, 255):
        process, _ = root.spawn([CHILD, f"exit:{code}"])
        leader, empty = root.ended(process)
        assert (leader.code_kind, leader.status, empty.proof) == (EXITED, code, SUBREAPER)


def test_signals_are_exact(root):
    for number in (1, 2, 6, 9, 11, 15, 34, 64):
        process, _ = root.spawn([CHILD, f"kill:{number}"])
        leader, _ = root.ended(process)
        assert leader.code_kind in (KILLED, DUMPED) and leader.status == number


def test_usage_is_told(root):
    process, _ = root.spawn(["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    leader, _ = root.ended(process)
    assert leader.user_us > 0 and leader.max_rss_kib > 100


# --- starts --------------------------------------------------------------------------------------

def test_failed_starts_say_step_and_errno(root, tmp_path):
    script = tmp_path / "script"
    script.write_text("no program")
    script.chmod(0o644)
    before = fds(root.hello.root_pid)
    assert failed(root, ["/nowhere/x"]) == (stage("EXEC"), errno.ENOENT)
    assert failed(root, [str(script)]) == (stage("EXEC"), errno.EACCES)
    script.chmod(0o755)
    assert failed(root, [str(script)]) == (stage("EXEC"), errno.ENOEXEC)
    script.write_text("#!/nowhere/interpreter\n")
    assert failed(root, [str(script)]) == (stage("EXEC"), errno.ENOENT)
    assert failed(root, [TRUE, "x" * 200_000]) == (stage("EXEC"), errno.E2BIG)
    assert failed(root, [TRUE], cwd="/nowhere") == (stage("CWD"), errno.ENOENT)
    assert failed(root, [TRUE], cwd=str(script)) == (stage("CWD"), errno.ENOTDIR)
    assert failed(root, [TRUE], io=[stdio(FILE, "/nowhere")]) == (stage("STDIN"), errno.ENOENT)
    assert failed(root, [TRUE], io=[stdio(), stdio(FILE, "/tmp")]) == \
        (stage("STDOUT"), errno.EISDIR)
    assert failed(root, [TRUE], io=[stdio(), stdio(), stdio(FILE, "/nowhere/x")]) == \
        (stage("STDERR"), errno.ENOENT)
    assert failed(root, [TRUE], rlimits=[(7, 1 << 40, 1 << 40)]) == (stage("RLIMIT"), errno.EPERM)
    assert failed(root, ["/nowhere/x"], io=[stdio(PIPE)] * 3, cancel_notice=1) == \
        (stage("EXEC"), errno.ENOENT)
    wait_for(lambda: fds(root.hello.root_pid) == before, "no descriptor is left")


def test_candidates_are_tried_in_order(root, tmp_path):
    denied = tmp_path / "denied"
    denied.write_text("")
    process, _ = root.spawn(["name"], candidates=["/nowhere/x", f"{denied}/x", str(denied), TRUE])
    assert root.ended(process)[0].status == 0
    assert failed(root, ["name"], candidates=[str(denied), "/nowhere/x"]) == \
        (stage("EXEC"), errno.EACCES)


def test_a_child_sees_what_was_asked_and_nothing_else(roots):
    kept_open = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]

    def spoil():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    root = roots(preexec_fn=spoil, pass_fds=kept_open)
    for fd in kept_open:
        os.close(fd)
    script = ("ls /proc/self/fd | tr '\\n' ' '; umask; env; pwd; ulimit -n; "
              "grep -E '^(NoNewPrivs|PPid)' /proc/$$/status; "
              "cut -d ' ' -f 1,5,6 /proc/$$/stat")
    text, leader, _ = root.run(["/bin/sh", "-c", script], env=["A=b", "PATH=/usr/bin:/bin"],
                               cwd="/usr", umask=0o27)
    lines = text.splitlines()
    assert leader.status == 0
    assert lines[0] == "0 1 2 3 0027", "descriptor 3 is the listing's own"
    assert {"A=b", "PATH=/usr/bin:/bin", "/usr"} <= set(lines)
    assert not any(line.startswith(("HOME=", "SPAWND")) for line in lines)
    assert str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) in lines, "as the server was started"
    state = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert state["NoNewPrivs"] == "1" and int(state["PPid"]) == root.hello.root_pid
    pid, group, session = lines[-1].split()
    assert pid == group == session
    text, _, _ = root.run(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    assert set(text.split()[1::2]) == {"0" * 16}
    assert root.stop() == 0


def test_few_descriptors_are_enough_for_files(root, tmp_path):
    process, _ = root.spawn([TRUE], io=[stdio(FILE, "/dev/null"), stdio(FILE, tmp_path / "out")],
                            rlimits=[(7, 3, 3)])
    assert root.ended(process)[0].status == 0


def test_files_and_descriptors(root, tmp_path):
    (tmp_path / "in").write_text("input")
    (tmp_path / "out").write_text("old")
    process, _ = root.spawn(["/bin/sh", "-c", "cat; echo err >&2"], rlimits=[(7, 20, 20)],
                            io=[stdio(FILE, tmp_path / "in"), stdio(FILE, tmp_path / "out"),
                                stdio(TO_STDOUT)])
    root.ended(process)
    assert (tmp_path / "out").read_text() == "oldinputerr\n"
    process, _ = root.spawn(["/bin/echo", "new"], umask=0o77,
                            io=[stdio(), stdio(FILE, tmp_path / "out", truncate=True),
                                stdio(FILE, tmp_path / "made")])
    root.ended(process)
    assert (tmp_path / "out").read_text() == "new\n"
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


@as_root
def test_identity(roots):
    root = roots({"uids": [1234], "gids": [1234, 1235]})
    script = "id -u; id -g; id -G; grep -E '^(Uid|Gid|Cap(Prm|Eff|Amb))' /proc/self/status"
    text, _, _ = root.run(["/bin/sh", "-c", script], identity=(1234, 1234, [1235]))
    lines = text.splitlines()
    assert lines[:3] == ["1234", "1234", "1234 1235"]
    assert "Uid:\t1234\t1234\t1234\t1234" in lines and "CapEff:\t" + "0" * 16 in lines
    for identity in ((1, 1234, []), (1234, 1, []), (1234, 1234, [1])):
        assert refused(root, [TRUE], identity=identity) == errno.EPERM
    # What only another user may reach is not reached: it is opened after the switch.
    assert failed(root, [TRUE], identity=(1234, 1234, []), cwd="/proc/1/fd") == \
        (stage("CWD"), errno.EACCES)
    # A member under another uid is found by its tag all the same.
    process, started = root.spawn(["/usr/bin/setsid", "-f", "/bin/sleep", "1000"],
                                  identity=(1234, 1234, []))
    assert root.expect("TREE_LEFT", process_id=process).n_alive == 1
    root.act(process, rung=1, signal=KILL, scope="TREE")
    assert root.ended(process)[1].proof == SUBREAPER
    assert root.stop() == 0


@as_root
@needs_entry
def test_the_servers_own_capabilities_stay_with_it(roots):
    """A server that is no superuser but may switch: its children may not."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is not here")
    caps = "+setuid,+setgid,+kill"
    root = roots({"uids": [1235], "gids": [1235]}, wrap=[
        "setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups", "--inh-caps", caps,
        "--ambient-caps", caps])
    for identity, uid in ((None, "1234"), ((1235, 1235, []), "1235")):
        text, _, _ = root.run(["/bin/grep", "-E", "^(Uid|CapPrm|CapEff|CapAmb)",
                               "/proc/self/status"], identity=identity)
        values = dict(line.split(":\t") for line in text.splitlines())
        assert values["Uid"].split("\t") == [uid] * 4
        assert {values["CapPrm"], values["CapEff"], values["CapAmb"]} == {"0" * 16}
    process, _ = root.spawn(["/usr/bin/setsid", "-f", "/bin/sleep", "1000"],
                            identity=(1235, 1235, []))
    root.expect("TREE_LEFT", process_id=process)
    root.act(process, rung=1, signal=KILL, scope="TREE")
    assert root.ended(process)[1].proof == SUBREAPER, "found and killed across uids"
    assert root.stop() == 0


def check_delays_nobody(root, hung):
    """While a start hangs, others are as quick as ever. The steps at which it hung."""
    for _ in range(50):
        begun = time.monotonic()
        process, _ = root.spawn([TRUE])
        root.ended(process)
        root.drop(process)
        assert time.monotonic() - begun < 1
    answers = [root.expect("START_FAILED", process_id=process) for process in hung]
    assert all(a.error == errno.ETIMEDOUT for a in answers), answers
    return {a.stage for a in answers}


def test_a_start_that_hangs_delays_nobody(roots, tmp_path):
    root = roots({"start_timeout_ms": 1500})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hung = [root.start([TRUE], io=[stdio(FILE, fifo)]) for _ in range(30)]
    assert check_delays_nobody(root, hung) == {stage("STDIN")}
    assert root.stop() == 0


def test_more_hanging_starts_than_places(roots, tmp_path):
    root = roots({"start_timeout_ms": 1500})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = fds(root.hello.root_pid)
    hung = [root.start([TRUE], io=[stdio(FILE, fifo)]) for _ in range(200)]
    for process in hung:
        answer = root.expect("START_FAILED", process_id=process)
        assert answer.error == errno.ETIMEDOUT
        root.drop(process)
    process, _ = root.spawn([TRUE])
    root.ended(process)
    root.drop(process)
    wait_for(lambda: fds(root.hello.root_pid) == before, "no descriptor is left")
    assert root.stop() == 0


def mount_hung(point, take_requests):
    """Mounts a FUSE file system that never answers. Returns what ends it. A process can be killed
    only while its request has not been taken."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"hung", os.fsencode(point), b"fuse", 0, options.encode()) != 0:
        os.close(fuse)
        pytest.skip("cannot mount a FUSE file system here")
    _, _, unique = struct.unpack_from("=IIQ", os.read(fuse, 1 << 17))
    answer = struct.pack("=IIIIHHIIHHI28x", 7, 19, 0, 0, 1, 1, 4096, 1, 0, 0, 0)
    os.write(fuse, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)

    def take():
        try:
            while os.read(fuse, 1 << 17):
                pass
        except OSError:
            pass
    if take_requests:
        threading.Thread(target=take, daemon=True).start()

    def end():
        libc.umount2(os.fsencode(point), 1)  # MNT_FORCE: what hangs is aborted
        libc.umount2(os.fsencode(point), 2)  # MNT_DETACH
        os.close(fuse)
    return end


@as_root
@pytest.mark.parametrize("killable", [True, False])
def test_a_start_on_a_hung_file_system(roots, tmp_path, killable):
    root = roots({"start_timeout_ms": 1500})
    point = tmp_path / "hung"
    point.mkdir()
    end = mount_hung(point, take_requests=not killable)
    try:
        hung = [root.start([TRUE], cwd=f"{point}/x"), root.start([f"{point}/program"])]
        assert check_delays_nobody(root, hung) == {stage("CWD"), stage("EXEC")}
        for process in hung:
            root.drop(process)
    finally:
        end()
    wait_for(lambda: set(descendants(root.hello.root_pid)) == {root.broker_pid},
             "the hung ones are reaped")
    assert root.stop() == 0


def test_an_act_waits_for_the_start(roots, tmp_path):
    root = roots({"start_timeout_ms": 20000})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = root.start([CHILD, "pause"], io=[stdio(FILE, fifo)])
    root.act(process, rung=1, signal=TERM)
    root.ended(root.spawn([TRUE])[0])
    assert not root.has("ACTED", process_id=process)
    os.close(os.open(fifo, os.O_WRONLY))
    root.expect("STARTED", process_id=process)
    assert root.expect("ACTED", process_id=process).hit == 1
    assert root.ended(process)[0].status == TERM
    gone = root.start(["/nowhere/x"])
    root.act(gone, rung=1, signal=TERM)
    assert root.expect("ACTED", process_id=gone).error == errno.ESRCH
    assert root.stop() == 0


# --- refusals ------------------------------------------------------------------------------------

def test_refusals_are_typed_and_leave_nothing(roots):
    root = roots({"max_processes": 3})
    before = fds(root.hello.root_pid)
    first, _ = root.spawn([CHILD, "pause"], key=(5, 6))
    assert refused(root, [TRUE], key=(5, 6)) == errno.EEXIST
    assert refused(root, [TRUE], number=1) == errno.EINVAL, "a number is used once"
    root.send("TOMBSTONE", struct.pack("=QQI4x", 5, 7, 0))
    assert refused(root, [TRUE], key=(5, 7)) == errno.ESTALE
    root.send("TOMBSTONE", struct.pack("=QQI4x", 5, 7, 1))
    root.ended(root.spawn([TRUE], key=(5, 7))[0])
    assert refused(root, [TRUE], seals=0) == errno.EINVAL, "not sealed"
    assert refused(root, [TRUE], data=b"x" * 4096) == errno.EINVAL
    assert refused(root, [TRUE], data=launch_bytes([TRUE])[:-1] + b"x") == errno.EINVAL
    assert refused(root, [TRUE], rlimits=[(10, 5, 5)]) == errno.EINVAL, "RLIMIT_LOCKS"
    alive = [first, *(root.spawn([CHILD, "pause"])[0] for _ in range(2))]
    assert refused(root, [TRUE]) == errno.EAGAIN
    for process in alive:
        root.drop(process)  # in vain: it lives
        root.act(process, rung=1, signal=KILL)
        root.ended(process)
        root.drop(process)
    root.ended(root.spawn([TRUE], key=(5, 6))[0])
    wait_for(lambda: fds(root.hello.root_pid) == before, "no descriptor is left")
    assert root.stop() == 0


def test_too_many_rings(root):
    rings = [stdio(), *[stdio(PIPE, ring=64 << 20)] * 2]  # 128 MiB of an arena of 64 GiB
    begun = [root.start([CHILD, "pause"], io=rings) for _ in range(513)]
    over = root.expect("REFUSED")
    if over.process_id != begun[-1]:  # a smaller arena, where address space is short
        del begun[begun.index(over.process_id) + 1:]
    assert over.error == errno.ENOSPC and len(begun) > 4
    for process in begun[:-1]:
        root.act(process, rung=1, signal=KILL)
        root.ended(process)
        root.drop(process)
    process, _ = root.spawn([TRUE], io=[stdio(), stdio(PIPE, ring=64 << 20)])
    root.ended(process)


def test_without_descriptors(roots):
    """A server with few descriptors refuses, and goes on when some are free again."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (276, 276))
    root = roots(preexec_fn=limit)
    assert root.hello.max_processes == 20
    alive = [root.spawn([CHILD, "pause"], io=[stdio(PIPE)] * 3)[0] for _ in range(5)]
    assert refused(root, [TRUE]) == errno.EAGAIN
    root.act(alive[0], rung=1, signal=KILL)
    root.ended(alive[0])
    root.ended(root.spawn([TRUE])[0])
    for process in alive[1:]:
        root.act(process, rung=1, signal=KILL)
        root.ended(process)
    assert root.stop() == 0


def test_many_refusals_at_once(roots, tmp_path):
    """More waiting starts than the root has room for answers: each is refused, none is missed."""
    root = roots({"start_timeout_ms": 60000})
    fifo, pid = tmp_path / "fifo", root.hello.root_pid
    os.mkfifo(fifo)
    highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    hung = [root.start([TRUE], io=[stdio(FILE, fifo)]) for _ in range(96)]
    waiting = [root.start([TRUE]) for _ in range(700)]
    root.state(waiting[-1], now=1)  # all orders are taken
    wait_for(lambda: len(descendants(pid)) >= len(hung) + 1, "all places are taken")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    writer = os.open(fifo, os.O_RDWR)
    for process in hung:
        root.expect("STARTED", process_id=process)
    for process in waiting:
        assert root.expect("REFUSED", process_id=process).error == errno.EAGAIN
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    os.close(writer)
    root.ended(root.spawn([TRUE])[0])
    assert root.stop() == 0


HOSTILE = {
    "unknown kind": struct.pack("=IIQ", 40, 16, 1),
    "a message of the root's": struct.pack("=IIQ", E["PING"], 16, 1),
    "short": struct.pack("=II", E["DROP"], 8),
    "size that lies": struct.pack("=IIQ", E["DROP"], 24, 1),
    "one byte": b"x",
    "start without a descriptor": struct.pack("=IIQQQI", E["START"], 36, 1, 1, 1, 0),
    "keepsake beyond its end": struct.pack("=IIQI", E["KEEPSAKE"], 20, 1, 2000),
    "signal 65": struct.pack("=IIQQ5I", E["ACT"], 44, 1, 1, 1, 1, 65, 1, 0),
    "another configuration": struct.pack("=9I", E["CONFIG"], 548, 1, 1, 1, 1, 1, 0, 0)
    + bytes(512),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_broker_that_breaks_the_rules_is_ended(roots, what):
    root = roots(stderr=subprocess.DEVNULL)
    root.spawn([CHILD, "pause"])
    root.send_raw(HOSTILE[what])
    assert root.leave() == 1


def test_two_descriptors_in_one_message(roots):
    root = roots(stderr=subprocess.DEVNULL)
    fd = sealed(launch_bytes([TRUE]))
    root.send("START", struct.pack("=QQQI", root.hello.epoch << 32 | 1, 1, 1, 0), [fd, fd])
    os.close(fd)
    assert root.leave() == 1


def test_nothing_before_the_configuration(roots):
    root = roots(False, stderr=subprocess.DEVNULL)
    root.send("PONG", struct.pack("=Q", 1))
    assert root.process.wait(10) not in (0, None)


def test_a_broker_that_cannot_be_executed(tmp_path):
    from conftest import SPAWND

    broker = tmp_path / "broker"
    broker.write_text("no program")
    broker.chmod(0o755)
    done = subprocess.run([SPAWND, "--broker", broker], stderr=subprocess.PIPE, timeout=20)
    assert b"cannot execute the broker" in done.stderr, done.stderr
    assert done.returncode == 127


def test_options():
    from conftest import SPAWND

    def run(*arguments):
        return subprocess.run([SPAWND, *arguments], capture_output=True, text=True, timeout=20,
                              check=False)
    assert "--listen URL" in run("--help").stdout
    assert run("--version").stdout.startswith("spawnd ")
    assert run("--log-format", "xml").returncode == 2
    assert run("--broker").returncode == 2
    assert run("--broker", "/nowhere/x").returncode == 2
    assert run("--broker", "/bin/false").returncode == 1, "the broker's own status"


@pytest.mark.plain
def test_libc_alone():
    from conftest import SPAWND
    out = subprocess.run(["ldd", SPAWND], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].split("/")[-1].split(".")[0] for line in out.splitlines()}
    if any(name.startswith(("libasan", "libubsan", "libtsan")) for name in names):
        pytest.skip("built with sanitizers")
    assert names <= {"linux-vdso", "libc", "ld-linux-x86-64", "ld-linux-aarch64"}


def test_the_kernel_shows_one_thread_each(root):
    for pid in root.pids[:2]:
        assert os.listdir(f"/proc/{pid}/task") == [str(pid)]
        assert "\nThreads:\t1\n" in pathlib.Path(f"/proc/{pid}/status").read_text()
