"""Fixtures of libspawnd's tests: a driver, a scripted peer, and the real server of server/tests."""
import importlib.util
import pathlib
import sys

import pytest
from driven import DRIVER, ROOT, Driver
from peer import Peer

# The real server's fixtures have one home, whose file has the same name as this one.
sys.path.insert(0, str(ROOT / "server" / "tests"))
_spec = importlib.util.spec_from_file_location("server_fixtures", ROOT / "server/tests/conftest.py")
server_fixtures = importlib.util.module_from_spec(_spec)
sys.modules["server_fixtures"] = server_fixtures
_spec.loader.exec_module(server_fixtures)
globals().update({name: value for name, value in vars(server_fixtures).items()
                  if hasattr(value, "_pytestfixturefunction")})


def pytest_configure(config):
    server_fixtures.pytest_configure(config)


def pytest_collection_modifyitems(items):
    for item in items:
        if pathlib.Path(item.path).parent != pathlib.Path(__file__).parent:
            continue
        if not DRIVER.exists():
            item.add_marker(pytest.mark.skip(reason=f"no driver: {DRIVER} is not built"))
        elif "real" in item.path.name and not server_fixtures.SPAWND.exists():
            item.add_marker(
                pytest.mark.skip(reason=f"no server: {server_fixtures.SPAWND} is not built"))


@pytest.fixture(params=["ipc", "tcp"])
def transport(request):
    return request.param


@pytest.fixture
def make_peer():
    """Makes scripted peers; they outlive the driver, which says goodbye to them."""
    made = []

    def make(transport="ipc"):
        made.append(Peer(transport))
        return made[-1]
    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def peer(make_peer):
    return make_peer()


@pytest.fixture
def driver(make_peer):
    made = Driver()
    yield made
    try:
        assert made.end() == 0, made.errors
        assert "Sanitizer" not in made.errors, made.errors
    finally:
        made.discard()


@pytest.fixture
def opened(driver, peer):
    """A driver whose client 0 is connected to the peer."""
    driver.ok("open", url=peer.url)
    return driver


class Spawned:
    """A process of the peer's model, and the driver's name for it."""

    def __init__(self, driver, peer, **keys):
        answer = driver.ok("spawn", argv=["x"], **keys)
        self.id = answer["id"]
        self.key = answer["key"]
        self.model = peer.processes[int(self.id, 16)]


@pytest.fixture
def spawn(opened, peer):
    def make(ladder="INT leader 400ms, KILL tree 2s", **keys):
        return Spawned(opened, peer, ladder=ladder, **keys)
    return make
