"""The exchanges of frames/: what client and server say, and how a file shows it."""
import struct

import contract
from google.protobuf import text_format

pb = type("pb", (), contract.messages())
EPOCH = 0x5eed1e55
SESSION = EPOCH << 32 | 1
PROCESS = EPOCH << 32 | 7
SERVICE = "/spawn.v1.SpawnService/"
CODES = contract.modules()["status"].Code
HANDSHAKE = {"client": bytes.fromhex("0053500000300000"), "server": bytes.fromhex("0053500000310000")}


def enum(name):
    for module in contract.modules().values():
        for found in module.DESCRIPTOR.enum_types_by_name.values():
            if name in found.values_by_name:
                return found.values_by_name[name].number
    raise KeyError(name)


def ladder(*rungs):
    return [pb.Rung(action=enum("ACTION_SIGNAL"), signal=s, scope=enum(f"SCOPE_{scope}"), wait_ms=w)
            for s, scope, w in rungs]


DEFAULT_LADDER = ladder((2, "LEADER", 5000), (15, "TREE", 2000), (9, "TREE", 2000))


def call(method, payload, request_id, floor=0, session_id=SESSION):
    return method, pb.Request(method=SERVICE + method, session_id=session_id, request_id=request_id,
                              floor=floor, payload=payload.SerializeToString()), payload


def answer(payload, request_id, code="CODE_OK", message="", **detail):
    status = pb.Status(code=CODES.Value(code), message=message, **detail)
    return pb.Response(request_id=request_id, epoch=EPOCH, status=status,
                       payload=payload.SerializeToString() if payload else b""), payload


LIMITS = dict(
    max_message_bytes=1 << 20, max_launch_bytes=(1 << 20) - (64 << 10), max_processes=6581,
    max_unreleased=16384, max_unsettled=4096, max_parked_session=16384, max_parked=65536,
    max_hold_ms=25000, max_spawn_hold_ms=1000, takeover_ms=2000, max_wait_ms=86400000, max_rungs=8,
    max_ring_bytes=64 << 20, max_read_bytes=(1 << 20) - 4096, max_write_bytes=61440,
    max_sessions=4096)
OPEN = [
    call("OpenSession", pb.OpenSessionRequest(major=1, client="golden 1"), 1, session_id=0),
    answer(pb.OpenSessionResponse(
        session_id=SESSION, epoch=EPOCH, version="0.1.0", major=1, lease_ms=10000,
        limits=pb.Limits(**LIMITS), capabilities=pb.Capabilities(subreaper=True)), 1)]
SLEEP = pb.SpawnRequest(argv=[b"/bin/sleep", b"1000"])
SPAWNED = pb.SpawnResponse(process_id=PROCESS, pid=4711, ladder=DEFAULT_LADDER,
                           started_unix_ms=1700000000000)
USAGE = pb.Usage(user_us=391, system_us=412, max_rss_kib=1840, minor_faults=88,
                 voluntary_switches=1, involuntary_switches=1)
ENDED_BY_INT = pb.ExitRecord(
    process_id=PROCESS, session_id=SESSION, spawn_request_id=2, kind=enum("EXIT_KIND_SIGNALED"),
    signal=2, cause=enum("EXIT_CAUSE_CANCEL"), rung=1, tree_empty=True,
    tree_proof=enum("TREE_PROOF_SUBREAPER"), started_unix_ms=1700000000000, leader_exit_ms=1203,
    tree_empty_ms=1203, usage=USAGE, journal=[pb.JournalEntry(
        rung=1, at_ms=1202, action=enum("ACTION_SIGNAL"), signal=2, scope=enum("SCOPE_LEADER"),
        hit=1, climber=enum("CLIMBER_CLIENT"), wait_ms=5000)])
TARGET = pb.Target(process_id=PROCESS)


def refused(method, request, request_id, code, message, floor=0, **detail):
    return [call(method, request, request_id, floor), answer(None, request_id, code, message, **detail)]


EXCHANGES = {
    "open-session": OPEN,
    "open-session-other-major": [
        call("OpenSession", pb.OpenSessionRequest(major=2, client="golden 1"), 1, session_id=0),
        answer(None, 1, "CODE_FAILED_PRECONDITION", "this server speaks major 1",
               unsupported=pb.Unsupported(major_min=1, major_max=1))],
    "spawn-cancel-await": OPEN + [
        call("Spawn", SLEEP, 2, floor=1), answer(SPAWNED, 2),
        call("Cancel", pb.CancelRequest(target=TARGET, rung=1, wait_ms=5000), 3, floor=3),
        answer(pb.CancelResponse(process_id=PROCESS, rung_reached=1, ladder=DEFAULT_LADDER), 3),
        call("AwaitExit", pb.AwaitExitRequest(target=TARGET, hold_ms=5000), 4, floor=4),
        answer(pb.AwaitExitResponse(process_id=PROCESS, done=True, exit=ENDED_BY_INT), 4),
        call("Release", pb.ReleaseRequest(target=TARGET), 5, floor=5),
        answer(pb.ReleaseResponse(), 5),
        call("CloseSession", pb.CloseSessionRequest(), 6, floor=6),
        answer(pb.CloseSessionResponse(), 6)],
    "spawn-missing-program": OPEN + [
        call("Spawn", pb.SpawnRequest(argv=[b"/nonexistent"]), 2),
        answer(None, 2, "CODE_FAILED_PRECONDITION", "exec: No such file or directory",
               start_failed=pb.StartFailed(stage=enum("START_STAGE_EXEC"), errno_code=2))],
    "early-cancel": OPEN + [
        call("Cancel", pb.CancelRequest(target=pb.Target(spawn=pb.SpawnKey(request_id=2)), rung=1), 3),
        answer(pb.CancelResponse(never_started=True), 3),
        call("Spawn", SLEEP, 2), answer(None, 2, "CODE_CANCELLED", "cancelled before it came")],
    "errors": OPEN
    + refused("Spawn", pb.SpawnRequest(), 2, "CODE_INVALID_ARGUMENT", "argv is empty",
              field=pb.Field(path="argv"))
    + refused("Spawn", SLEEP, 0, "CODE_INVALID_ARGUMENT", "request id 0",
              field=pb.Field(path="request_id"))
    + refused("AwaitExit", pb.AwaitExitRequest(target=pb.Target(process_id=EPOCH << 32 | 99)), 3,
              "CODE_NOT_FOUND", "no such process")
    + refused("AwaitExit", pb.AwaitExitRequest(target=pb.Target(process_id=0x0ddba11 << 32 | 1)), 4,
              "CODE_NOT_FOUND", "of an earlier server", epoch_changed=pb.EpochChanged(epoch=EPOCH))
    + refused("Spawn", SLEEP, 5, "CODE_OUT_OF_RANGE", "below the floor", floor=6,
              limit=pb.Limit(name="floor", max=6))
    + refused("Fly", pb.KeepAliveRequest(), 7, "CODE_UNIMPLEMENTED", "no such method")
    + [call("KeepAlive", pb.KeepAliveRequest(), 8, session_id=SESSION + 998),
       answer(None, 8, "CODE_UNAUTHENTICATED", "the session is over",
              session_expired=pb.SessionExpired()),
       call("KeepAlive", pb.KeepAliveRequest(), 9, session_id=0x0ddba11 << 32 | 1),
       answer(None, 9, "CODE_UNAUTHENTICATED", "of an earlier server",
              epoch_changed=pb.EpochChanged(epoch=EPOCH))],
}


def frame(transport_id, body):
    """A message as it goes over ipc."""
    return b"\x01" + struct.pack(">QI", 4 + len(body), transport_id) + body


def steps(exchange):
    """(who, transport id, envelope, method, payload or None) of each message of an exchange."""
    transport_id, method = 0x80000000, None
    for step in exchange:
        if len(step) == 3:
            transport_id += 1
            method, request, payload = step
            yield "client", transport_id, request, method, payload
        else:
            yield "server", transport_id, step[0], method, step[1]


def readable(envelope, payload):
    """The envelope's text with the payload's text in place of its bytes."""
    shown = type(envelope)()
    shown.CopyFrom(envelope)
    shown.payload = b""
    text = text_format.MessageToString(shown)
    if payload is not None and payload.ByteSize():
        text += f"payload {payload.DESCRIPTOR.name} {{\n"
        text += "".join(f"  {line}\n" for line in text_format.MessageToString(payload).splitlines())
        text += "}\n"
    return text


def hex_lines(data):
    return "".join(data[i:i + 32].hex(" ") + "\n" for i in range(0, len(data), 32))


def render(exchange):
    """The file's text: blocks of `who: what`, the readable form after `#`, the bytes in hex."""
    blocks = [f"{who}: handshake\n{hex_lines(HANDSHAKE[who])}" for who in ("client", "server")]
    for who, transport_id, envelope, method, payload in steps(exchange):
        shown = "".join(f"# {line}\n" for line in readable(envelope, payload).splitlines())
        data = hex_lines(frame(transport_id, envelope.SerializeToString()))
        blocks.append(f"{who}: {method}\n{shown}{data}")
    return "\n".join(blocks)


def parse(text):
    """[(who, what, readable form, bytes)] of a file of frames/."""
    found = []
    for block in text.split("\n\n"):
        head, *rest = block.strip().splitlines()
        who, what = head.split(": ")
        shown = "".join(line[2:] + "\n" for line in rest if line.startswith("#"))
        data = bytes.fromhex(" ".join(line for line in rest if not line.startswith("#")))
        found.append((who, what, shown, data))
    return found
