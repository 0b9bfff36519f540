"""What spawnctl says without a server: help, wrong usage, nobody there."""
import re
import subprocess

import pytest
from conftest import ROOT, SPAWNCTL

COMMANDS = ["run", "spawn", "await", "cancel", "stop", "signal", "release", "ps", "info"]
MAN_PAGE = ROOT / "docs" / "man" / "spawnctl.1"
WRONG = [
    (["run"], "[--] COMMAND [ARGUMENT]... is missing"),
    (["run", "--lader", "x", "true"], "did you mean --ladder?"),
    (["run", "--umask", "9", "true"], "octal"),
    (["run", "--ladder", "INT everybody 5s", "true"], "everybody"),
    (["run", "--run-time", "5", "true"], "its unit"),
    (["spawn", "--record", "true"], 'no option "--record"'),
    (["await"], "ID is missing"),
    (["await", "12"], "16 hexadecimal digits"),
    (["await", "0000000000000001", "more"], '"more" is one operand too many'),
    (["cancel", "--rung", "0", "0000000000000001"], "1 is the first"),
    (["signal", "0000000000000001"], "operand is missing"),
    (["signal", "0000000000000001", "NOSUCH"], '"NOSUCH" is not a signal'),
    (["ps", "--state", "dead"], "starting, running"),
    (["stpo", "0000000000000001"], "did you mean stop?"),
    (["--all", "ps"], "follow its name"),
]


@pytest.mark.parametrize("arguments, words", WRONG, ids=lambda value: " ".join(value)[:40])
def test_wrong_usage_is_told_with_what_would_be_right(lonely, arguments, words):
    done = lonely(*arguments, code=125 if arguments[0] == "run" else 2)
    assert done.stdout == b""
    assert words in done.stderr.decode()
    assert "--help" in done.stderr.decode()


@pytest.mark.parametrize("arguments", [
    ["run", "true"], ["spawn", "true"], ["await", "0000000000000001"], ["ps"], ["info"],
    ["stop", "0000000000000001"], ["signal", "0000000000000001", "INT"]], ids=lambda a: a[0])
def test_nobody_there(lonely, tmp_path, arguments):
    done = lonely(*arguments[:1], "--url", f"ipc://{tmp_path}/none", *arguments[1:],
                  code=125 if arguments[0] == "run" else 4)
    assert done.stdout == b"" or arguments[0] == "ps"
    assert "spawnd --listen" in done.stderr.decode()


def test_help_of_all_names_every_command(lonely):
    text = lonely("--help").stdout.decode()
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M), command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(lonely, command):
    text = lonely(command, "--help").stdout.decode()
    assert text.startswith(f"usage: spawnctl {command} ")
    assert "--json" in text and "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110


def test_the_man_page_names_every_option_and_every_exit_code(lonely):
    page = MAN_PAGE.read_text()
    for command in COMMANDS:
        assert f".It Cm {command}\n" in page, command
        for option in re.findall(r"--([a-z-]+)", lonely(command, "--help").stdout.decode()):
            assert f"Fl Fl {option}" in page, option
    codes = set(re.findall(r"^ +(\d+)  ", lonely("--help").stdout.decode(), re.M)) - {"128"}
    assert codes == set(re.findall(r"^\.It (\d+)$", page, re.M))


def test_the_man_page_renders_without_a_warning():
    done = subprocess.run(["man", "--warnings=w", "-l", "-Tutf8", MAN_PAGE], capture_output=True,
                          env={"MANPAGER": "cat", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                          timeout=60)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert b"EXIT STATUS" in done.stdout.replace(b"\x08", b"") or b"E\x08E" in done.stdout


def test_version(lonely):
    assert re.fullmatch(r"spawnctl \d+\.\d+\.\d+ \(libspawnd \d+\.\d+\.\d+\)\n",
                        lonely("--version").stdout.decode())


def test_without_a_word_it_says_how_it_is_used(lonely):
    assert lonely(code=2).stderr.startswith(b"usage: spawnctl")


def test_a_full_disk_is_a_failure(lonely):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SPAWNCTL, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
