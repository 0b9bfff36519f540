"""A client that is killed or stopped at a rung of its climb: the server climbs on, on schedule, and
another client reads the record. (After the last rung, KILL to the tree, there is nothing to climb.)
Clauses: LAD-24, LAD-25, LAD-26."""
import signal

import pytest
from conftest import LIMIT_S
from server_harness import CHILDREN, wait_for

WAIT_MS, TAKEOVER_MS, LATE_MS = 600, 2000, 400
LADDER = f"INT leader {WAIT_MS}ms, TERM tree {WAIT_MS}ms, KILL tree 5s"
CHILD = CHILDREN / "test-child"



def stubborn(ctl, tmp_path):
    """A leader that ignores INT and TERM, with a grandchild in a session of its own that does too."""
    output = tmp_path / "output"
    process = ctl.spawn("--ladder", LADDER, "--stdout", str(output), str(CHILD), "ignore:2", "ignore:15",
                        "daemon", "ignore:2", "ignore:15", "say:member", "pause", "--", "ready", "pause")
    wait_for(lambda: {"member", "ready"} <= set(output.read_text().split()), "both ignore the signals")
    return process


def reached(ctl, process):
    return next((p["rung_reached"] for p in ctl.json("ps") if p["process_id"] == process), 0)


@pytest.mark.plain  # a sanitizer's spawnctl takes longer to ask than a rung to pass
@pytest.mark.parametrize("rung", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_server_climbs_on(ctl, tmp_path, how, rung):
    process = stubborn(ctl, tmp_path)
    climber = ctl.start("stop", process)
    try:
        wait_for(lambda: reached(ctl, process) == rung, "the rung is reached")
        climber.send_signal(how)
        record = ctl.json("await", process)[0]
    finally:
        climber.kill()
        climber.wait(LIMIT_S)
    assert (record["signal"], record["cause"], record["rung"]) == (9, "CANCEL", 3)
    at = [entry["at_ms"] for entry in record["journal"]]
    assert [entry["rung"] for entry in record["journal"]] == [1, 2, 3]
    late = [after - before - WAIT_MS for before, after in zip(at, at[1:])]
    print(how.name, "at rung", rung, "lateness of the next rungs:", late)
    allowed = [0, 0]
    if how == signal.SIGSTOP:
        allowed[rung - 1] = TAKEOVER_MS  # once, at the rung at which the client fell silent
    for lateness, takeover in zip(late, allowed):
        assert takeover <= lateness <= takeover + LATE_MS, (late, allowed)
    assert [entry["climber"] for entry in record["journal"]] == (
        ["CLIENT"] * rung + ["NET"] * (3 - rung))
    assert record["journal"][1]["hit"] == 2 and record["tree_empty"]
