"""The contract as Python sees it: protoc's descriptors and generated modules, made on demand."""
import atexit
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

PROTO = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(PROTO.glob("spawn/v1/*.proto"))
FOLDER = "SPAWND_TEST_PROTO_PYTHON"
_generated = {}


def descriptors():
    """The FileDescriptorProtos of the contract, comments included."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{PROTO}", "--include_source_info",
                        f"--descriptor_set_out={out.name}", *map(str, FILES)], check=True)
        found = descriptor_pb2.FileDescriptorSet()
        found.ParseFromString(pathlib.Path(out.name).read_bytes())
    return list(found.file)


def generate():
    """Runs protoc into a new folder, which goes when this program ends."""
    folder = tempfile.mkdtemp(prefix="spawnd-proto-")
    atexit.register(remove_own, folder, os.getpid())
    os.chmod(folder, 0o755)
    subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={folder}", *map(str, FILES)], check=True)
    return folder


def remove_own(folder, pid):
    if os.getpid() == pid:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


def modules():
    """{name of the proto file: generated module}; generated once a process."""
    if not _generated:
        folder = os.environ.get(FOLDER)
        if folder is None:
            folder = os.environ[FOLDER] = generate()  # programs that this one starts use it too
        sys.path.insert(0, folder)
        for path in FILES:
            _generated[path.stem] = importlib.import_module(f"spawn.v1.{path.stem}_pb2")
    return _generated


def messages():
    """{name: class} of every message of the contract, in one name space."""
    found = {}
    for module in modules().values():
        for name in module.DESCRIPTOR.message_types_by_name:
            found[name] = getattr(module, name)
    return found


def names():
    """One object with every message class and every enum value of the contract as attributes."""
    found = dict(messages())
    for module in modules().values():
        for enum in module.DESCRIPTOR.enum_types_by_name.values():
            found.update((value.name, value.number) for value in enum.values)
    return type("names", (), found)
