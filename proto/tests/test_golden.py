"""The golden bytes, read and written by Python; tests/roundtrip.c does the same with protobuf-c."""
import importlib.machinery
import importlib.util
import struct
import sys

import contract
import pytest
from google.protobuf import text_format

GOLDEN = contract.PROTO / "golden"
sys.path.insert(0, str(GOLDEN))
import exchanges  # noqa: E402

EXAMPLES = sorted((GOLDEN / "messages").glob("*.hex"))
FRAMES = sorted((GOLDEN / "frames").glob("*.txt"))


def load_generate():
    loader = importlib.machinery.SourceFileLoader("generate", str(GOLDEN / "generate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_they_are_what_the_generator_makes(tmp_path):
    load_generate().main(tmp_path)
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*.*")}
    kept = {p.relative_to(GOLDEN): p.read_text()
            for folder in ("messages", "frames") for p in (GOLDEN / folder).iterdir()}
    assert made == kept, "run proto/golden/generate"


def test_every_message_has_an_example():
    assert {path.stem.split("-")[0] for path in EXAMPLES} == set(contract.messages())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_message(path):
    cls = contract.messages()[path.stem.split("-")[0]]
    data = bytes.fromhex(path.read_text())
    text = path.with_suffix(".txt").read_text()
    assert text_format.MessageToString(cls.FromString(data)) == text
    assert text_format.Parse(text, cls()).SerializeToString() == data


def envelope_and_payload(who, what, body):
    name = "Request" if who == "client" else "Response"
    envelope = contract.messages()[name].FromString(body)
    payload = contract.messages().get(what + name)
    if payload is None or (who == "server" and envelope.status.code):
        return envelope, None
    return envelope, payload.FromString(envelope.payload)


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_frames(path):
    blocks = exchanges.parse(path.read_text())
    assert [block[:2] for block in blocks[:2]] == [("client", "handshake"), ("server", "handshake")]
    for who, what, shown, data in blocks[:2]:
        assert data == exchanges.HANDSHAKE[who] and not shown
    outstanding = None
    for who, what, shown, data in blocks[2:]:
        kind, length, transport_id = struct.unpack(">BQI", data[:13])
        assert kind == 1 and length == len(data) - 9 and transport_id & 0x80000000
        envelope, payload = envelope_and_payload(who, what, data[13:])
        assert exchanges.readable(envelope, payload) == shown
        assert envelope.SerializeToString() == data[13:]
        if who == "client":
            assert envelope.method == exchanges.SERVICE + what
            outstanding = transport_id, envelope.request_id
        else:
            assert envelope.HasField("status") and envelope.epoch
            assert outstanding == (transport_id, envelope.request_id)
