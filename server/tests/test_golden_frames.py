"""The real server answers the requests of proto/golden/frames/ in the shape shown there."""
import pathlib
import sys

import pytest
from plain_client import Connection, contract, pb

sys.path.insert(0, str(contract.PROTO / "golden"))
import exchanges  # noqa: E402

FRAMES = sorted(pathlib.Path(exchanges.__file__).parent.glob("frames/*.txt"))
# Their fields may be 0, or grow with the server; that they are there is checked.
OPAQUE = {"usage", "limits", "capabilities", "at_ms", "leader_exit_ms", "tree_empty_ms", "message"}


def shape(message, path=""):
    """Every path that is set, with the values that a reader decides by."""
    found = set()
    for field, value in message.ListFields():
        here = f"{path}.{field.name}"
        values = value if field.label == field.LABEL_REPEATED else [value]
        if field.name in OPAQUE:
            continue
        if field.type == field.TYPE_MESSAGE:
            found.add(here)
            found.update(*(shape(below, here) for below in values))
        elif field.type == field.TYPE_ENUM or field.name in ("path", "name", "errno_code"):
            found.add(f"{here} {list(values)}")
        else:
            found.add(here)
    return found


class Translation:
    """Puts the real server's ids in the place of the golden ones."""

    def __init__(self, epoch):
        self.ids = {}
        self.epoch = epoch

    def id(self, golden):
        if golden >> 32 != exchanges.EPOCH:
            return golden  # 0, or of another epoch on purpose
        return self.ids.get(golden, self.epoch << 32 | 0x7fff0000 | golden & 0xffff)

    def apply(self, message):
        for field, value in message.ListFields():
            if field.type == field.TYPE_FIXED64:
                setattr(message, field.name, self.id(value))
            elif field.type == field.TYPE_MESSAGE and field.label != field.LABEL_REPEATED:
                self.apply(value)


def payload_of(envelope, what):
    name = what + ("Request" if isinstance(envelope, pb.Request) else "Response")
    if not hasattr(pb, name) or (isinstance(envelope, pb.Response) and envelope.status.code):
        return None
    return getattr(pb, name).FromString(envelope.payload)


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_the_server_answers_in_the_golden_shape(server, path):
    blocks = exchanges.parse(path.read_text())[2:]
    with Connection(server.url) as connection:
        info = connection.answer(connection.send(pb.Request(
            method=exchanges.SERVICE + "GetServerInfo", request_id=1).SerializeToString()))
        translation = Translation(pb.Response.FromString(info).epoch)
        for (_, what, _, sent), (_, _, _, expected) in zip(blocks[::2], blocks[1::2]):
            request, golden = pb.Request.FromString(sent[13:]), pb.Response.FromString(expected[13:])
            payload = payload_of(request, what)
            translation.apply(request)
            if payload is not None:
                translation.apply(payload)
                request.payload = payload.SerializeToString()
            answer = pb.Response.FromString(
                connection.answer(connection.send(request.SerializeToString())))
            assert shape(answer) == shape(golden), answer
            got, shown = payload_of(answer, what), payload_of(golden, what)
            if got is None:
                continue
            assert shape(got) == shape(shown), got
            if what == "OpenSession":
                translation.ids[exchanges.SESSION] = got.session_id
            elif what == "Spawn":
                translation.ids[exchanges.PROCESS] = got.process_id
