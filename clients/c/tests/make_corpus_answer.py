"""Writes corpus_answer/: one good answer for each call, and some bad ones. Run by hand after a change
of the contract: /usr/bin/python3 make_corpus_answer.py"""
import pathlib

from peer import pb

HERE = pathlib.Path(__file__).parent / "corpus_answer"
LADDER = [pb.Rung(action=1, signal=2, scope=1, wait_ms=5000), pb.Rung(action=1, signal=9, scope=3)]
RECORD = pb.ExitRecord(
    process_id=5 << 32 | 1, session_id=5 << 32 | 2, spawn_request_id=3, name=b"name", kind=2, signal=9,
    cause=2, rung=2, tree_empty=True, tree_proof=1, usage=pb.Usage(user_us=5),
    journal=[pb.JournalEntry(rung=1, at_ms=4, action=1, signal=2, scope=1, hit=1, climber=1,
                             left=[pb.Member(pid=3, comm=b"sh", state="S", waits_in="wait")])])
INFO = pb.ProcessInfo(process_id=5 << 32 | 1, argv=[b"sh", b"-c"], state=5, ladder=LADDER, exit=RECORD)
# In the order in which fuzz_answer.c numbers the calls.
GOOD = [
    pb.SpawnResponse(process_id=5 << 32 | 1, pid=7, ladder=LADDER, exit=RECORD),
    pb.AwaitExitResponse(process_id=5 << 32 | 1, done=True, exit=RECORD),
    pb.AwaitExitResponse(process_id=5 << 32 | 1, blocked=2, retry_after_ms=5),
    pb.CancelResponse(process_id=5 << 32 | 1, rung_reached=2, ladder=LADDER, exit=RECORD),
    pb.ListProcessesResponse(processes=[INFO, INFO], next_page_token=9),
    pb.GetServerInfoResponse(version="1", limits=pb.Limits(max_rungs=8), counters=pb.Counters(parked=1),
                             capabilities=pb.Capabilities(cgroup=True)),
]
BAD = [
    pb.Status(code=9, start_failed=pb.StartFailed(stage=12, errno_code=2)),
    pb.Status(code=8, limit=pb.Limit(name="max_processes", max=4)),
    pb.Status(code=14, retry_after=pb.RetryAfter(ms=70)), pb.Status(code=4242, message="words"),
    pb.Status(code=16, session_expired=pb.SessionExpired()),
    pb.Status(code=3, field=pb.Field(path="argv[3]")),
    pb.Status(code=6, already_exists=pb.AlreadyExists(process_id=4)),
]


def main():
    HERE.mkdir(exist_ok=True)
    for i, payload in enumerate(GOOD):
        body = pb.Response(request_id=1, epoch=5, status=pb.Status(),
                           payload=payload.SerializeToString()).SerializeToString()
        (HERE / f"good-{i}").write_bytes(bytes([i]) + body)
        (HERE / f"cut-{i}").write_bytes(bytes([i]) + body[:-5])
    for i, status in enumerate(BAD):
        body = pb.Response(request_id=1, epoch=5, status=status).SerializeToString()
        (HERE / f"bad-{i}").write_bytes(bytes([i % 6]) + body)
    (HERE / "empty").write_bytes(b"")
    (HERE / "no-status").write_bytes(b"\x00" + pb.Response(epoch=5).SerializeToString())


main()
