"""Two principals on one server: each sees its own, the other's does not exist (IDN-2, STA-6, SES-8)."""
import os
import subprocess
import sys

import pytest
from conftest import Server, needs_entry
from plain_client import LAST, Client, Refused, pb, target

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users"), needs_entry]
NOBODY, DAEMON = 65534, 1

AS_USER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import plain_client as p  # generates its modules while it still may
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
try:
    client = p.Client(sys.argv[2])
except (p.Closed, ConnectionError):
    sys.exit(42)
answer = client.spawn("/usr/bin/id", "-u", stdout="pipe", name=b"mine", hold_ms=1000)
print(client.read_all(answer)[0].decode().strip())
answer = client.spawn("/bin/sleep", "1000", name=b"other")
print(client.session_id, answer.process_id, flush=True)
sys.stdin.read()
print(len(client.list()), client.poll(answer).done, flush=True)
client.close_session()
"""


def as_user(server, uid):
    return subprocess.Popen([sys.executable, "-c", AS_USER, os.path.dirname(__file__), server.url,
                             str(uid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def nobodys_server():
    made = Server(user=NOBODY)
    try:
        yield made.wait_ready()
        assert made.end() == 0, made.log()
        made.check_nothing_left()
    finally:
        made.discard()


def bytes_of_refusal(client, method, **fields):
    """The whole answer, but for its request id."""
    response, payload = client.finish(client.start(method, **fields))
    assert payload is None
    response.request_id = 0
    return response.SerializeToString()


def test_idn_2_root_and_the_servers_own_user_are_two_principals(nobodys_server):
    user = as_user(nobodys_server, NOBODY)
    assert user.stdout.readline().strip() == str(NOBODY)
    session_id, process_id = map(int, user.stdout.readline().split())
    client = Client(nobodys_server.url)
    unknown = process_id + 1000
    for method, fields in (("AwaitExit", {}), ("Cancel", dict(rung=LAST)),
                           ("Signal", dict(signal=9, scope=pb.SCOPE_TREE)), ("Release", {}),
                           ("ReadOutput", dict(stream=pb.STREAM_STDOUT)), ("WriteStdin", {}),
                           ("ListProcesses", {})):
        foreign = bytes_of_refusal(client, method, target=target(process_id), **fields)
        assert foreign == bytes_of_refusal(client, method, target=target(unknown), **fields)
        assert pb.Response.FromString(foreign).status.code == pb.CODE_NOT_FOUND
        by_key = bytes_of_refusal(client, method, target=target((session_id, 3)), **fields)
        assert by_key == foreign
    assert not client.list()
    with pytest.raises(Refused) as refused:
        client.call("KeepAlive", _session_id=session_id)
    assert (refused.value.code, refused.value.detail) == ("UNAUTHENTICATED", "session_expired")
    # Names are unique for one principal, not for all.
    client.await_exit(client.spawn("/bin/true", name=b"other"))
    assert len(client.list()) == 1
    client.close_session()
    client.close_connection()
    user.stdin.close()
    assert user.stdout.readline().split() == ["2", "False"]
    assert user.wait(20) == 0
    user.stdout.close()


def test_idn_2_a_third_user_is_refused_even_where_the_file_lets_it_in(nobodys_server):
    path = nobodys_server.url.removeprefix("ipc://")
    for name in (nobodys_server.folder, nobodys_server.folder / "run", path):
        os.chmod(name, 0o777)
    before = nobodys_server.descriptors()
    for _ in range(5):
        user = as_user(nobodys_server, DAEMON)
        assert user.wait(20) == 42
        user.stdin.close()
        user.stdout.close()
    nobodys_server.check_descriptors(before)
    Client(nobodys_server.url).close_session()


def test_spn_14_a_server_that_is_not_root_cannot_be_asked_for_others(nobodys_server):
    client = Client(nobodys_server.url)
    assert not client.opened.capabilities.identities
    with pytest.raises(Refused) as refused:
        client.spawn("/bin/true", identity=pb.Identity(uid=0, gid=0))
    assert refused.value.code == "PERMISSION_DENIED"
    answer = client.spawn("/usr/bin/id", "-u", stdout="pipe",
                          identity=pb.Identity(uid=NOBODY, gid=NOBODY))
    assert client.read_all(answer)[0].strip() == str(NOBODY).encode()
    client.close_session()
    client.close_connection()
