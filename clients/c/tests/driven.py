"""The client driver as Python sees it: lines out, answers and events in."""
import os
import pathlib
import subprocess
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("SPAWND_BUILD", ROOT / "build"))
DRIVER = BUILD / "clients" / "c" / "tests" / "client-driver"
LIMIT_S = 40


class Answer(dict):
    """An answer's keys, with .ok, .kind of an error, and .at when it was read."""

    def __init__(self, kind, words, at):
        super().__init__()
        for word in words:
            key, value = word.split("=", 1)
            self[key] = urllib.parse.unquote_to_bytes(value).decode("latin-1")
        self.ok, self.at = kind == "ok", at
        self.kind = None if self.ok else self.get("kind")
        self.processes = [urllib.parse.unquote(w.split("=", 1)[1]).split(";")
                          for w in words if w.startswith("process=")]


class Driver:
    def __init__(self, program=DRIVER):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1,
                                        encoding="latin-1")
        self.changed = threading.Condition()
        self.answers, self.events, self.n_tags, self.errors = {}, {}, 0, ""
        threading.Thread(target=self.read, daemon=True).start()
        self.error_reader = threading.Thread(target=self.read_errors, daemon=True)
        self.error_reader.start()

    def read(self):
        for line in self.process.stdout:
            at = time.monotonic()
            tag, kind, *words = line.split()
            with self.changed:
                if kind == "ev":
                    self.events.setdefault(tag, []).append(Answer("ok", words, at))
                else:
                    assert tag not in self.answers, f"{tag} is answered twice"
                    self.answers[tag] = Answer(kind, words, at)
                self.changed.notify_all()

    def read_errors(self):
        self.errors = self.process.stderr.read()

    @staticmethod
    def encode(value):
        if isinstance(value, (list, tuple)):
            return ",".join(Driver.encode(v) for v in value)
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, str):
            value = value.encode()
        return urllib.parse.quote(value if isinstance(value, bytes) else str(value), safe="/:.-_")

    def start(self, verb, **keys):
        """Sends a line; its tag."""
        self.n_tags += 1
        tag = f"t{self.n_tags}"
        words = [f"{key}={self.encode(value)}" for key, value in keys.items()]
        self.process.stdin.write(" ".join([tag, verb, *words]) + "\n")
        return tag

    def answer(self, tag, limit_s=LIMIT_S):
        with self.changed:
            assert self.changed.wait_for(lambda: tag in self.answers or self.process.poll() is not None,
                                         limit_s), f"no answer to {tag} within {limit_s} s"
        assert tag in self.answers, f"the driver ended: {self.errors}"
        return self.answers[tag]

    def has_answered(self, tag):
        return tag in self.answers

    def call(self, verb, limit_s=LIMIT_S, **keys):
        return self.answer(self.start(verb, **keys), limit_s)

    def ok(self, verb, **keys):
        answer = self.call(verb, **keys)
        assert answer.ok, f"{verb}: {dict(answer)}"
        return answer

    def told(self, tag):
        """The events of a stop so far: [(event, rung)]."""
        return [(e["event"], int(e["rung"])) for e in self.events.get(tag, [])]

    def wait_told(self, tag, event, limit_s=LIMIT_S):
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.told(tag), limit_s), self.told(tag)

    def end(self, limit_s=LIMIT_S):
        """End of input; the exit status."""
        self.process.stdin.close()
        status = self.process.wait(limit_s)
        self.error_reader.join(limit_s)
        return status

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
