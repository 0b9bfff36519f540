"""The clauses of docs/spec/: each id is defined once, and each id that is cited exists."""
import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
DEFINITION = re.compile(r"^- \*\*([A-Z]{3}-\d+)\*\*", re.MULTILINE)
FIXED = {"VER": 4, "RPC": 12, "SPN": 6, "LAD": 15, "GRP": 6, "TRE": 5, "INT": 4, "REM": 3, "SRV": 18}
SOURCES = {".c", ".h", ".proto", ".md", ".py", ".cmake", ".1", ".7", ".8", ".txt", ".yaml", ""}


def definitions():
    found = collections.defaultdict(list)
    for path in sorted(SPEC.glob("*.md")):
        for clause in DEFINITION.findall(path.read_text()):
            found[clause].append(path.name)
    return found


def citations():
    """{clause id: files} of every id with a known prefix, in every text of the project."""
    prefixes = "|".join(sorted({clause[:3] for clause in definitions()}))
    cited = re.compile(rf"\b(?:{prefixes})-\d+\b")
    found = collections.defaultdict(set)
    for folder in ("proto", "docs", "server", "clients", "conformance", "scripts", "bench"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SOURCES and path.is_file() and "__pycache__" not in path.parts:
                for clause in cited.findall(path.read_text(errors="replace")):
                    found[clause].add(str(path.relative_to(ROOT)))
    return found


def test_each_clause_is_defined_once():
    assert len(definitions()) > 150
    assert not {clause: files for clause, files in definitions().items() if len(files) > 1}


def test_each_cited_clause_exists():
    known = definitions()
    assert not {clause: sorted(files) for clause, files in citations().items() if clause not in known}


def test_the_fixed_clauses_are_all_there():
    assert not [f"{prefix}-{n}" for prefix, last in FIXED.items() for n in range(1, last + 1)
                if f"{prefix}-{n}" not in definitions()]


def test_the_overview_lists_every_file_and_prefix():
    overview = (SPEC / "00-overview.md").read_text()
    for path in sorted(SPEC.glob("*.md"))[1:]:
        row = next((line for line in overview.splitlines() if path.name in line), "")
        for prefix in {clause[:3] for clause in DEFINITION.findall(path.read_text())}:
            assert prefix in row, f"{prefix} is defined in {path.name}"


def test_most_clauses_bind_somebody():
    # A clause that only explains belongs outside the numbered text.
    text = "\n".join(path.read_text() for path in SPEC.glob("*.md"))
    assert text.count("MUST") > 120
