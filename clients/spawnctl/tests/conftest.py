"""Fixtures: a real spawnd (those of server/tests), and spawnctl dialling it."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SERVER_TESTS = ROOT / "server" / "tests"
sys.path.insert(0, str(SERVER_TESTS))
_spec = importlib.util.spec_from_file_location("server_harness", SERVER_TESTS / "conftest.py")
server_harness = importlib.util.module_from_spec(_spec)
sys.modules["server_harness"] = server_harness
_spec.loader.exec_module(server_harness)

# pytest finds fixtures by their names in this module; they stand on one another.
globals().update({name: value for name, value in vars(server_harness).items()
                  if hasattr(value, "_pytestfixturefunction")
                  or type(value).__name__ == "FixtureFunctionDefinition"})

SPAWNCTL = server_harness.BUILD / "clients" / "spawnctl" / "spawnctl"
LIMIT_S = 60


def pytest_configure(config):
    server_harness.pytest_configure(config)


def pytest_collection_modifyitems(items):
    for item in items:
        wanted = [SPAWNCTL] + ([server_harness.SPAWND] if "server" in item.fixturenames else [])
        for program in wanted:
            if not program.exists():
                item.add_marker(pytest.mark.skip(reason=f"{program} is not built"))


class Spawnctl:
    """spawnctl, dialling one server."""

    def __init__(self, url):
        self.environment = {**os.environ, "SPAWND_URL": url} if url else dict(os.environ)

    def __call__(self, *arguments, code=0, data=b"", **options):
        """Runs it to its end; its exit code must be the one given (None: any)."""
        options.setdefault("env", self.environment)
        done = subprocess.run([SPAWNCTL, *arguments], input=data, capture_output=True,
                              timeout=LIMIT_S, **options)
        assert code is None or done.returncode == code, (arguments, done)
        return done

    def start(self, *arguments, **options):
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        options.setdefault("env", self.environment)
        return subprocess.Popen([SPAWNCTL, *arguments], **options)

    def json(self, *arguments, **options):
        """The objects that it writes to standard output."""
        done = self(arguments[0], "--json", *arguments[1:], **options)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def spawn(self, *arguments):
        """A process's id."""
        return self("spawn", *arguments).stdout.decode().strip()


@pytest.fixture
def ctl(server):
    return Spawnctl(server.url)


@pytest.fixture
def lonely():
    """spawnctl without a server."""
    return Spawnctl(None)
