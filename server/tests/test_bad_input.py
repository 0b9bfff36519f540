"""Bad input: each a typed refusal, others served meanwhile, nothing left behind."""
import os
import random
import struct
import subprocess
import sys

import pytest
from plain_client import LAST, SERVICE, Connection, Refused, pb


@pytest.fixture(autouse=True)
def nothing_is_lost(request):
    """Around each test: another client is served, and both programs' descriptors stay the same."""
    if "client" not in request.fixturenames:
        yield
        return
    server, client = request.getfixturevalue("server"), request.getfixturevalue("client")
    client.spawn("/bin/true", hold_ms=1000)
    before = server.descriptors()
    yield
    assert client.spawn("/bin/true", hold_ms=1000).exit.kind == pb.EXIT_KIND_EXITED
    server.check_descriptors(before)
    assert client.info().counters.processes == 0


def refusal(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value


def wrong_field(client, path, *argv, **fields):
    refused = refusal(lambda: client.spawn(*(argv or ["/bin/true"]), **fields))
    assert (refused.code, refused.detail) == ("INVALID_ARGUMENT", "field"), refused
    assert refused.value.path == path


# Frames.

def raw_answer(connection, body):
    return pb.Response.FromString(connection.answer(connection.send(body)))


@pytest.mark.parametrize("hello", [
    b"\0SP\0\0\x31\0\0", b"\0SP\1\0\x30\0\0", b"\0SP\0\0\x20\0\0", b"\0SP\0\0\x30\0\1",
    b"GET / HT", b"\xff" * 8, b"\0" * 8])
def test_trn_5_wrong_handshakes_close_the_connection(server, client, hello):
    with Connection(server.url, handshake=False) as connection:
        connection.write(hello)
        assert connection.is_closed(5)


@pytest.mark.parametrize("length", [(1 << 20) + 1, 2 << 30, 1 << 34, 1 << 62, (1 << 63) + 1, 2**64 - 1])
def test_trn_10_oversized_messages_close_their_connection(server, client, length):
    before = server.rss_kib()
    with Connection(server.url) as connection:
        connection.write(b"\x01" + struct.pack(">Q", length) + b"\x80\0\0\1")
        assert connection.is_closed(5)
    assert server.rss_kib()[1] < before[1] + 8192


def test_trn_10_the_largest_message_is_served(server, client):
    largest = client.limits.max_message_bytes
    with Connection(server.url) as connection:
        padding = largest - 4 - len(pb.Request(method="x", payload=b"x" * (1 << 19)).SerializeToString())
        body = pb.Request(method="x", payload=b"x" * ((1 << 19) + padding)).SerializeToString()
        assert len(body) + 4 == largest
        assert raw_answer(connection, body).status.code == pb.CODE_UNIMPLEMENTED
        with pytest.raises(Exception):
            connection.answer(connection.send(body + b"\x98\x06"), timeout=5)


def test_trn_7_messages_without_a_transport_id(server, client):
    for body in (b"", b"\x80", b"\0\0\0\1", b"\0\0\0\1" * 20):
        with Connection(server.url) as connection:
            connection.write(b"\x01" + struct.pack(">Q", len(body)) + body)
            # Closed, or ignored; the server goes on either way.
            connection.is_closed(0.05)


def test_trn_7_words_of_forwarders_come_back(server, client):
    body = pb.Request(method=SERVICE + "GetServerInfo", request_id=5).SerializeToString()
    header = b"\0\0\0\7" + b"\x12\x34\x56\x78" + b"\x80\0\0\x09"
    with Connection(server.url) as connection:
        connection.write(b"\x01" + struct.pack(">Q", len(header + body)) + header + body)
        assert connection.read(1) == b"\x01"
        length, = struct.unpack(">Q", connection.read(8))
        answer = connection.read(length)
    assert answer[:12] == header
    assert pb.Response.FromString(answer[12:]).request_id == 5


def test_trn_6_a_wrong_type_byte_closes(server, client):
    with Connection(server.url) as connection:
        connection.write(b"\x02" + struct.pack(">Q", 8) + b"\x80\0\0\1abcd")
        assert connection.is_closed(5)


# Envelopes.

def test_env_11_bodies_that_are_no_request(server, client):
    with Connection(server.url) as connection:
        for body in (b"\xff", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3a\x05abc",
                     b"\x18", b"\xff" * 100):
            response = raw_answer(connection, body)
            assert response.status.code == pb.CODE_INVALID_ARGUMENT, body
            assert response.request_id == 0 and response.epoch == client.epoch
        assert raw_answer(connection, b"").status.code == pb.CODE_UNIMPLEMENTED


def test_env_11_random_bytes(server, client):
    chance = random.Random(4711)
    with Connection(server.url) as connection:
        for _ in range(300):
            body = chance.randbytes(chance.randrange(200))
            assert raw_answer(connection, body).status.code != pb.CODE_OK


def test_env_11_every_cut_and_flip_of_a_spawn(server, client):
    whole = pb.Request(method=SERVICE + "Spawn", session_id=client.session_id, request_id=10_000,
                       payload=pb.SpawnRequest(argv=[b"/nonexistent/program"], cwd=b"/").SerializeToString()
                       ).SerializeToString()
    chance = random.Random(4711)
    with Connection(server.url) as connection:
        for size in range(len(whole)):
            raw_answer(connection, whole[:size])
        for _ in range(500):
            body = bytearray(whole)
            body[chance.randrange(len(body))] = chance.randrange(256)
            raw_answer(connection, bytes(body))


@pytest.mark.parametrize("method", ["", "Spawn", SERVICE, SERVICE + "Fly", SERVICE + "spawn",
                                    "/spawn.v2.SpawnService/Spawn", SERVICE + "Spawn/",
                                    SERVICE + "Spawn\0", "x" * 100_000])
def test_env_1_unknown_methods(client, method):
    assert refusal(lambda: client.call("KeepAlive", _method=method)).code == "UNIMPLEMENTED"


def test_env_9_unknown_fields_are_ignored_everywhere(client):
    # One of each wire type with numbers that nobody uses, in the envelope and in the payload.
    extra = b"\xa0\x7d\x05" + b"\xa9\x7d" + b"x" * 8 + b"\xb2\x7d\x03abc" + b"\xbd\x7d" + b"x" * 4
    target = pb.Target(process_id=1).SerializeToString() + extra
    payload = b"\x0a" + bytes([len(target)]) + target + extra
    refused = refusal(lambda: client.result(client.start("AwaitExit", payload)))
    assert refused.code == "NOT_FOUND"
    body = pb.Request(method=SERVICE + "KeepAlive", session_id=client.session_id,
                      request_id=7).SerializeToString()
    assert raw_answer(client.connection, extra + body + extra).status.code == pb.CODE_OK


def test_env_5_access_tokens_on_ipc(client):
    client.call("KeepAlive", _access_token=b"anything")
    client.call("KeepAlive", _access_token=b"x" * 64)
    assert refusal(lambda: client.call("KeepAlive", _access_token=b"x" * 65)).code == "INVALID_ARGUMENT"


# Spawn.

def test_spn_17_argv(client):
    refused = refusal(lambda: client.call("Spawn"))
    assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", "argv")
    wrong_field(client, "argv[0]", "")
    wrong_field(client, "argv[2]", "/bin/true", "x", b"a\0b")


def test_spn_18_program(client):
    wrong_field(client, "argv[0]", "bin/true")
    wrong_field(client, "argv[0]", "./true")
    wrong_field(client, "program", program=b"../true")
    wrong_field(client, "program", program=b"/bin/true\0")


def test_spn_20_environment_names(client):
    for name in (b"", b"A=B", b"=", b"A\0"):
        wrong_field(client, "env[1].name", env=[pb.EnvVar(name=b"A"), pb.EnvVar(name=name)])
    wrong_field(client, "env[1].name", env=[pb.EnvVar(name=b"A"), pb.EnvVar(name=b"A", value=b"2")])
    wrong_field(client, "env[0].value", env=[pb.EnvVar(name=b"A", value=b"x\0y")])


def test_spn_21_working_directory(client):
    wrong_field(client, "cwd", cwd=b"tmp")
    wrong_field(client, "cwd", cwd=b".")
    wrong_field(client, "cwd", cwd=b"/tmp\0")


def test_spn_12_standard_streams(client):
    file = pb.STDIO_KIND_FILE
    wrong_field(client, "stdin.path", stdin=pb.Stdio(kind=file, path=b"x"))
    wrong_field(client, "stdout.path", stdout=pb.Stdio(kind=file))
    wrong_field(client, "stderr.path", stderr=pb.Stdio(kind=file, path=b"/x\0"))
    wrong_field(client, "stdin.kind", stdin=pb.Stdio(kind=pb.STDIO_KIND_STDOUT))
    wrong_field(client, "stdout.kind", stdout=pb.Stdio(kind=77))
    wrong_field(client, "stdout.policy", stdout=pb.Stdio(kind=pb.STDIO_KIND_PIPE, policy=77))


def test_env_10_unknown_enum_values(client):
    wrong_field(client, "on_owner_lost", on_owner_lost=77)
    wrong_field(client, "on_leader_exit", on_leader_exit=77)
    answer = client.spawn("/bin/sleep", "100")
    for path, call in (("until", lambda: client.poll(answer, until=77)),
                       ("scope", lambda: client.call("Signal", signal=15, scope=77, target=pb.Target(
                           process_id=answer.process_id))),
                       ("state", lambda: client.call("ListProcesses", state=77))):
        refused = refusal(call)
        assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", path)
    client.cancel(answer, rung=LAST)
    client.await_exit(answer)


def test_sig_3_signals(client):
    answer = client.spawn("/bin/sleep", "100")
    for number in (0, 65, 2**32 - 1):
        refused = refusal(lambda: client.signal(answer, number))
        assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", "signal")
    refused = refusal(lambda: client.signal(answer, 15, "UNSPECIFIED"))
    assert (refused.code, refused.value.path) == ("INVALID_ARGUMENT", "scope")
    client.cancel(answer, rung=LAST)
    client.await_exit(answer)


def test_lim_3_names_groups_rlimits_umask(client):
    wrong_field(client, "name", name=b"x" * 129)
    wrong_field(client, "name", name=b"a\0b")
    wrong_field(client, "umask.mode", umask=pb.Umask(mode=0o1000))
    wrong_field(client, "identity.groups", identity=pb.Identity(
        uid=os.getuid(), gid=os.getgid(), groups=range(65)))
    limit = pb.Rlimit(resource=7, soft=10, hard=10)
    wrong_field(client, "rlimits[1].resource", rlimits=[limit, pb.Rlimit(resource=10)])
    wrong_field(client, "rlimits[1].resource", rlimits=[limit, pb.Rlimit(resource=16)])
    wrong_field(client, "rlimits[1].resource", rlimits=[limit, limit])
    wrong_field(client, "rlimits[0].soft", rlimits=[pb.Rlimit(resource=7, soft=11, hard=10)])
    client.spawn("/bin/true", name=b"x" * 128, hold_ms=1000)


def test_spn_19_argv_and_environment_over_the_limit(client):
    most = client.limits.max_launch_bytes
    over = dict(argv=[b"/bin/true", b"x" * (most - 20)])
    refused = refusal(lambda: client.call("Spawn", **over))
    assert (refused.code, refused.detail) == ("INVALID_ARGUMENT", "limit")
    assert (refused.value.name, refused.value.max) == ("max_launch_bytes", most)
    # Many small strings: their pointers count.
    many = dict(argv=[b"/bin/true"] + [b""] * (most // 9))
    assert refusal(lambda: client.call("Spawn", **many)).code == "INVALID_ARGUMENT"
    # The kernel bounds one string to 128 KiB: that is its own error, with stage and errno.
    refused = refusal(lambda: client.spawn("/bin/true", b"x" * (200 << 10)))
    assert refused.detail == "start_failed"
    assert (refused.value.stage, refused.value.errno_code) == (pb.START_STAGE_EXEC, 7)
    answer = client.spawn("/bin/true", *[b"x" * 99_000] * 9, hold_ms=1000)
    assert answer.exit.code == 0


# Another user.

OTHER_USER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import plain_client  # generates its modules while it still may
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    connection = plain_client.Connection(sys.argv[2])
    client = plain_client.Client(sys.argv[2], connection=connection)
except (plain_client.Closed, ConnectionError, BrokenPipeError):
    sys.exit(42)
except PermissionError:
    sys.exit(43)
"""


def as_nobody(server):
    """42 where the server closed the connection, 43 where the file system refused it."""
    return subprocess.run([sys.executable, "-c", OTHER_USER, os.path.dirname(__file__), server.url],
                          timeout=60).returncode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_idn_2_another_user_is_refused_at_connect(server, client):
    path = server.url.removeprefix("ipc://")
    assert as_nobody(server) == 43
    modes = [(name, os.stat(name).st_mode) for name in (server.folder, server.folder / "run", path)]
    try:
        for name, _ in modes:
            os.chmod(name, 0o777)
        assert as_nobody(server) == 42
    finally:
        for name, mode in modes:
            os.chmod(name, mode & 0o7777)
