"""The contract only grows, every piece of it has a comment, and buf's lint finds nothing."""
import importlib.machinery
import importlib.util
import pathlib
import shutil
import subprocess

import contract
import pytest

BUF = "@bufbuild/buf@1.50.0"


def load_update_snapshot():
    path = str(contract.PROTO / "update-snapshot")
    loader = importlib.machinery.SourceFileLoader("update_snapshot", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


snapshot = load_update_snapshot()


def test_nothing_was_changed_or_removed():
    broken, new = snapshot.complaints(snapshot.lines(), snapshot.stored())
    assert not broken
    assert not new, "run proto/update-snapshot"


@pytest.mark.parametrize("key, rest", [
    ("envelope.proto Request.method", "= 2 string"),  # another number
    ("envelope.proto Request.method", "= 1 bytes"),  # another type
    ("spawn.proto SpawnRequest.argv", "= 2 bytes"),  # no longer repeated
    ("status.proto Code.CODE_UNAVAILABLE", "= 15"),
    ("service.proto SpawnService/Spawn", "(SpawnRequest) returns (CancelResponse)"),
    ("target.proto Target.process_id", None),  # gone
])
def test_a_change_is_noticed(key, rest):
    now, then = snapshot.lines(), snapshot.stored()
    assert key in then
    if rest is None:
        del now[key]
    else:
        now[key] = rest
    broken, _ = snapshot.complaints(now, then)
    assert len(broken) == 1 and broken[0].startswith(key)


def commented(file):
    """Paths (as in SourceCodeInfo) of everything in file that has a comment of its own."""
    return {tuple(location.path) for location in file.source_code_info.location
            if location.leading_comments.strip()}


def pieces(file):
    """(path, name) of everything that needs a comment."""
    for m, message in enumerate(file.message_type):
        yield (4, m), message.name
        yield from (((4, m, 2, f), f"{message.name}.{field.name}")
                    for f, field in enumerate(message.field))
        yield from (((4, m, 8, o), f"{message.name}.{oneof.name}")
                    for o, oneof in enumerate(message.oneof_decl))
    for e, enum in enumerate(file.enum_type):
        yield (5, e), enum.name
        yield from (((5, e, 2, v), f"{enum.name}.{value.name}")
                    for v, value in enumerate(enum.value))
    for s, service in enumerate(file.service):
        yield (6, s), service.name
        yield from (((6, s, 2, r), f"{service.name}.{rpc.name}")
                    for r, rpc in enumerate(service.method))


def test_everything_has_a_comment():
    bare = [f"{file.name}: {name}" for file in contract.descriptors()
            for path, name in pieces(file) if path not in commented(file)]
    assert not bare


def test_no_rpc_streams_and_no_field_has_presence_tricks():
    # protobuf-c drops "stream" silently and rejects proto3 "optional".
    for file in contract.descriptors():
        for service in file.service:
            assert not any(rpc.client_streaming or rpc.server_streaming for rpc in service.method)
        for message in file.message_type:
            assert not any(field.proto3_optional for field in message.field)


def test_no_message_contains_itself():
    # protobuf-c has no limit on nesting: a message that nests in itself could exhaust the stack.
    inside = {f".{file.package}.{message.name}": {f.type_name for f in message.field if f.type == 11}
              for file in contract.descriptors() for message in file.message_type}

    def walk(name, above):
        assert name not in above, f"{name} contains itself"
        for below in inside[name]:
            walk(below, above | {name})

    for name in inside:
        walk(name, frozenset())


def test_buf_lint():
    if not shutil.which("npx"):
        pytest.skip("npx is not installed: buf lint comes from npm")
    ready = subprocess.run(["npx", "--yes", BUF, "--version"], capture_output=True, text=True,
                           timeout=300)
    if ready.returncode:
        pytest.skip(f"npm cannot give {BUF}: {ready.stderr.strip()[-200:]}")
    lint = subprocess.run(["npx", "--yes", BUF, "lint", str(contract.PROTO)], capture_output=True,
                          text=True, timeout=300)
    assert lint.returncode == 0, lint.stdout + lint.stderr
