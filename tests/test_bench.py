"""The bench is honest: its arithmetic, what fails it, and that whatever it starts ends."""

import ast
import io
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench import bodies, contestants, environments, growth, load, measuring, processes, servers
from bench.bodies import DIGIT, IMAGE
from bench.environments import PEERS
from bench.load import Load, LoadFailed, Request
from bench.measuring import Cell, second_load
from bench.pace import CELLS
from bench.report import ALONE, BASIS, COLUMNS, TARGETS, Target, table
from bench.samples import Samples
from bench.servers import Contestant, NotServing, Program
from model import serving
from predictions import forms
from tests.serving import ROOT, free_port

WELL = {
    "calls": 8000, "microseconds": 4_000_000, "p50": 7_290, "p99": 10_600,
    "status": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0,
}  # fmt: skip
PEER_NAMES = sorted(folder.parent.name for folder in PEERS.glob("*/requirements.in"))
# Where the name to import is not the name to install.
INSTALLED_AS = {
    "django": "django",
    "rest_framework": "djangorestframework",
    "rest_framework_api_key": "djangorestframework-api-key",
    "ai_edge_litert": "ai-edge-litert",
    "dj_database_url": "dj-database-url",
    "tensorflow": "tensorflow-cpu",
    "pydantic": "fastapi",
}
OURS = {"accounts", "billing", "mnistapi", "model", "predictions", "sandbox", "tests", "bench"}


def printed(**counts: int) -> str:
    return f"Running 4s test\n  Requests/sec: 2000\n{json.dumps({**WELL, **counts})}\n"


# Figures and ratios


@pytest.fixture
def samples() -> Samples:
    """Three rounds, the second of which had a machine half as fast, the third a hiccup of one."""
    samples = Samples()
    for ours, blog in ((300.0, 100.0), (150.0, 50.0), (100.0, 100.0)):
        samples.add("asgi-litert", "16", {"calls/s": ours, "images/s": ours})
        samples.add(BASIS, "16", {"calls/s": blog, "images/s": blog})
    return samples


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds(samples: Samples) -> None:
    assert samples.ratio("asgi-litert", "16", "calls/s", BASIS, "16") == 3
    # which is not the ratio of the medians
    assert samples.median("asgi-litert", "16", "calls/s") == 150
    assert samples.median(BASIS, "16", "calls/s") == 100


def test_rounds_are_never_compared_with_others(samples: Samples) -> None:
    samples.add("asgi-litert", "16", {"calls/s": 1.0})
    with pytest.raises(ValueError, match="shorter"):
        samples.ratio("asgi-litert", "16", "calls/s", BASIS, "16")


def test_the_table_has_a_row_for_each_and_says_what_was_not_measured(samples: Samples) -> None:
    head, rule, blog, ours = table({BASIS: "the blog's", "asgi-litert": "ours"}, samples)
    column = list(COLUMNS).index("calls 16") + 1
    assert len({line.count("|") for line in (head, rule, blog, ours)}) == 1
    assert blog.strip("| ").split(" | ")[column] == "100"
    assert ours.strip("| ").split(" | ")[column] == "150 (3.0)"
    assert ours.strip("| ").split(" | ")[column + 1] == "-"


def test_batches_are_compared_by_images_with_single_calls_of_the_blog_s_app() -> None:
    for name in ("JSON", "npy"):
        assert COLUMNS[name].quantity == "images/s"
        assert COLUMNS[name].against == "16"
        assert CELLS[COLUMNS[name].cell].images == bodies.BATCH


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("asgi-litert", "calls 16", 3.0, at_least=True), "met"),
        (Target("asgi-litert", "calls 16", 3.1, at_least=True), "MISSED"),
        (Target("asgi-litert", "calls 16", 3.0), "met"),
        (Target("asgi-litert", "calls 16", 2.9), "MISSED"),
        (Target("asgi-litert", "calls 16", 150, is_ratio=False), "met"),
        (Target("asgi-litert", "calls 16", 149, is_ratio=False), "MISSED"),
        (Target("asgi-litert", "calls 64", 3.0), "not measured"),
    ],
)
def test_a_target_is_met_missed_or_not_measured(
    target: Target, verdict: str, samples: Samples
) -> None:
    assert verdict in target.text(samples)


def test_what_is_targeted_and_printed_is_measured() -> None:
    for target in TARGETS:
        assert target.contestant in contestants.CONTESTANTS
        assert target.column in COLUMNS
    for column in COLUMNS.values():
        assert {column.cell, column.against} <= {*CELLS, ALONE, ""}


@pytest.mark.parametrize(
    ("cost", "page_ms", "verdicts"),
    [(1.0, 40.0, ["met", "met"]), (1.2, 40.0, ["MISSED", "met"]), (1.0, 60.0, ["met", "MISSED"])],
)
def test_growth_is_judged_by_the_cost_of_a_call_and_the_time_of_a_page(
    cost: float, page_ms: float, verdicts: list[str]
) -> None:
    samples = Samples()
    for log, factor, page in ((growth.EMPTY, 1.0, 5.0), (growth.LONG, cost, page_ms)):
        figures = {**dict.fromkeys(growth.COSTS, 0.3 * factor), "/page": page}
        samples.add(log, growth.CALLS.name, figures)
    lines = list(growth.report(samples, ["/page"], rows=10))
    assert f"| /page, ms | 5.00 | {page_ms:.2f} | {page_ms / 5:.2f} |" in lines
    assert [line.rpartition(" ")[2] for line in lines[-2:]] == verdicts


# The load


def test_the_printed_line_is_read() -> None:
    assert load.read(printed()) == Load(calls=8000, seconds=4.0, p50_ms=7.29, p99_ms=10.6)


@pytest.mark.parametrize("error", ["status", "connect", "read", "write", "timeout"])
def test_a_single_bad_answer_fails_the_run(error: str) -> None:
    with pytest.raises(LoadFailed, match=error):
        load.read(printed(**{error: 1}))


def test_a_run_without_an_answer_fails() -> None:
    with pytest.raises(LoadFailed, match="no call"):
        load.read(printed(calls=0))


def test_the_script_for_wrk_prints_what_is_read() -> None:
    assert set(re.findall(r'"(\w+)": %d', load.SCRIPT.read_text())) == set(WELL)


@pytest.fixture
def wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script of that text in the place of wrk; gives the file it can write to."""

    def place(text: str) -> Path:
        (tmp_path / "wrk").write_text(f"#!/bin/sh\nout={tmp_path}/out\n{text}\n")
        (tmp_path / "wrk").chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "out"

    return place


REQUEST = Request("/path", b"the body", {"Authorization": "Bearer KEY"})


def test_wrk_is_given_the_request_and_its_time(wrk: Callable[[str], Path]) -> None:
    out = wrk(f"""
        printf '%s\\n' "$@" > $out
        while [ "$1" != -- ]; do shift; done; cat "$2" >> $out
        echo '{json.dumps(WELL)}' """)
    load.run("http://127.0.0.1:1", REQUEST, connections=16, seconds=4)
    given = out.read_text().splitlines()
    assert given[-2:] == ["Authorization: Bearer KEY", "the body"]
    assert "http://127.0.0.1:1/path" in given
    for option, value in {"--connections": "16", "--duration": "4s", "--threads": "1"}.items():
        assert given[given.index(option) + 1] == value


def test_a_load_that_does_not_end_is_ended(
    wrk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = wrk("echo $$ > $out; exec sleep 60")
    monkeypatch.setattr(load, "GRACE_SECONDS", 0)
    with pytest.raises(LoadFailed, match="did not end"):
        load.run("http://127.0.0.1:1", REQUEST, connections=1, seconds=1)
    assert not psutil.pid_exists(int(out.read_text()))


def test_a_load_that_breaks_fails_the_run(wrk: Callable[[str], Path]) -> None:
    wrk("echo unable to connect >&2; exit 1")
    with pytest.raises(LoadFailed, match="unable to connect"):
        load.run("http://127.0.0.1:1", REQUEST, connections=1, seconds=1)


class Recorder:
    """In the place of a contestant: notes when a load was on it."""

    def __init__(self, error: LoadFailed | None = None) -> None:
        self.error = error

    def load(self, kind: str, connections: int, seconds: float) -> None:
        self.began, self.kind = time.monotonic(), kind
        time.sleep(seconds)
        self.ended = time.monotonic()
        if self.error:
            raise self.error


def test_a_second_load_lasts_longer_than_what_is_measured_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "LEAD_SECONDS", 1)
    recorder = Recorder()
    with second_load(recorder, "large", 0.2):
        began = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    assert recorder.kind == "large"
    assert recorder.began < began < ended < recorder.ended


def test_a_second_load_that_fails_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LEAD_SECONDS", 0)
    with (
        pytest.raises(LoadFailed, match="413"),
        second_load(Recorder(LoadFailed("413")), "large", 0),
    ):
        pass


class Growing(Recorder):
    """In the place of a contestant: its second worker is there after the second load."""

    loads = 0
    process = None

    def load(self, kind: str, connections: int, seconds: float) -> None:
        self.loads += 1


def test_memory_is_taken_when_all_workers_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing()
    sizes = {1: 350.0, 2: 700.0, 3: 701.0}
    monkeypatch.setattr(processes, "megabytes", lambda process: sizes[growing.loads])
    assert measuring.megabytes_at_work(growing) == 701


# The servers

SERVER = """
import http.server, json, sys, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response({status})
        self.end_headers()
        self.wfile.write(json.dumps({{"digit": {digit}}}).encode())
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""


def contestant(folder: Path, script: str, status: int = 200, digit: int = DIGIT) -> Contestant:
    port = free_port()
    command = [sys.executable, "-c", script.format(port=port, status=status, digit=digit)]
    program = Program(command, port, folder, dict(os.environ), folder / "log")
    return Contestant("it", program, {"single": bodies.as_json("/", IMAGE)}, contestants.digit)


def test_a_server_runs_until_it_is_left_and_its_children_end_with_it(tmp_path: Path) -> None:
    server = contestant(tmp_path, SERVER)
    with server.running() as seconds:
        started = processes.tree(server.process)
        assert len(started) == 2
        assert 0 < seconds < servers.START_SECONDS
    psutil.wait_procs(started, timeout=5)
    assert not any(process.is_running() for process in started)


@pytest.mark.parametrize(
    ("script", "answer", "complaint"),
    [
        (SERVER, {"digit": DIGIT + 1}, "takes a 3 for a 4"),
        (SERVER, {"status": 429}, "429"),
        ("raise SystemExit('its last words')", {}, "its last words"),
    ],
)
def test_a_server_that_does_not_answer_rightly_is_not_measured_and_ends(
    script: str, answer: dict[str, int], complaint: str, tmp_path: Path
) -> None:
    server = contestant(tmp_path, script, **answer)
    with pytest.raises(NotServing, match=complaint), server.running():
        pytest.fail("it was measured")
    assert not server.process.is_running()


def test_a_server_that_never_answers_is_waited_for_so_long_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "START_SECONDS", 0.5)
    server = contestant(tmp_path, "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(NotServing, match="does not answer"), server.running():
        pytest.fail("it was measured")
    assert time.monotonic() - began < 5
    assert not server.process.is_running()


def test_a_server_that_answers_no_more_is_noticed(tmp_path: Path) -> None:
    server = contestant(tmp_path, SERVER)
    with server.running():
        server.work_off()
    with pytest.raises(NotServing, match="answers no more"):
        server.work_off()


def test_a_site_leaves_nothing_behind() -> None:
    seen = []

    def interrupted() -> None:
        with servers.new_site() as site:
            seen.extend([site.folder, site.postgres])
            assert site.postgres.is_running()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    folder, database = seen
    assert not database.is_running()
    assert not folder.exists()


def test_a_cell_is_for_those_who_take_its_requests(tmp_path: Path) -> None:
    server = contestant(tmp_path, SERVER)
    assert Cell("16", "single", 16).suits(server)
    assert not Cell("json", "json", 16).suits(server)
    assert not Cell("beside", "single", 16, beside="large").suits(server)


def test_processor_time_includes_children_that_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        watched = psutil.Process(parent.pid)
        deadline = time.monotonic() + 20
        while processes.cpu_seconds(watched) < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while watched.children():
            time.sleep(0.02)
        assert processes.cpu_seconds(watched) >= 0.3
        assert processes.megabytes(watched) > 1
        parent.communicate(b"\n")


# The contestants


def test_both_doors_and_both_runtimes_are_measured_beside_all_peers() -> None:
    assert set(contestants.CONTESTANTS) == {
        BASIS, "fastapi", "drf", "asgi-tensorflow", "asgi-litert", "wsgi-tensorflow", "wsgi-litert",
    }  # fmt: skip
    assert set(PEER_NAMES) == {"blog", "drf", "fastapi_litert", "onnxruntime"}


def test_everyone_is_sent_the_same_digit() -> None:
    calls = contestants.calls("KEY")
    assert json.loads(calls["single"].body) == IMAGE
    assert json.loads(calls["json"].body) == [IMAGE] * 100
    small, large = (np.load(io.BytesIO(calls[kind].body)) for kind in ("npy", "large"))
    assert (small.shape, small.dtype) == ((100, 28, 28), np.uint8)
    assert (large.shape, large.dtype) == ((1600, 28, 28), np.float64)
    assert 10e6 < len(calls["large"].body) < 10.1e6
    assert (small[99].ravel() == IMAGE).all()
    assert (large[1599].ravel() == IMAGE).all()


def test_the_digit_is_read_the_same_by_the_blog_s_convention_and_by_ours() -> None:
    """The peers invert it as the post did; the product sees for itself that the ink is dark."""
    body = json.dumps(IMAGE).encode()
    ours, theirs = forms.decode_json(body).images, forms.decode_blog(body).images
    np.testing.assert_array_equal(ours, theirs)
    assert serving.restored("softmax-1", "litert").predict(ours).argmax() == DIGIT


def test_each_measured_release_is_the_one_that_ships() -> None:
    assert contestants.CHECKPOINT.with_suffix(".ckpt.index").exists()
    assert contestants.EXPORT.exists()


@pytest.mark.parametrize("command", [contestants.GUNICORN, contestants.UVICORN])
def test_peers_listen_on_this_machine_only_with_two_workers(command: str) -> None:
    assert "127.0.0.1" in command
    assert "--workers 2" in command


def test_an_environment_is_made_once_and_again_when_its_pins_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make(folder: Path, requirements: Path) -> None:
        made.append(requirements.read_text())
        (folder / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "PEERS", tmp_path / "peers")
    monkeypatch.setattr(environments, "MADE", tmp_path / "made")
    monkeypatch.setattr(environments, "make", make)
    requirements = tmp_path / "peers" / "it" / "requirements.txt"
    requirements.parent.mkdir(parents=True)
    for pins in ("flask==1", "flask==1", "flask==2"):
        requirements.write_text(pins)
        assert environments.programs("it").is_dir()
    assert made == ["flask==1", "flask==2"]


# The peers


def sources(peer: str) -> list[Path]:
    found = sorted((PEERS / peer).rglob("*.py"))
    assert found
    return found


def listed(peer: str) -> set[str]:
    """What the peer's requirements.in asks for, without extras and bounds."""
    lines = (PEERS / peer / "requirements.in").read_text().splitlines()
    return {re.split(r"[\[<>= ]", line)[0] for line in lines if line and line[0] != "#"}


def imported(peer: str) -> set[str]:
    names = set()
    for file in sources(peer):
        for node in ast.walk(ast.parse(file.read_text(), str(file))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names


def own(peer: str) -> set[str]:
    return {path.stem for path in (PEERS / peer).iterdir()}


@pytest.mark.parametrize("peer", PEER_NAMES)
def test_a_peer_imports_what_its_requirements_list_and_nothing_of_the_product(peer: str) -> None:
    foreign = imported(peer) - own(peer) - sys.stdlib_module_names
    assert foreign
    assert not foreign & OURS
    assert {INSTALLED_AS.get(name, name) for name in foreign} <= listed(peer)


@pytest.mark.parametrize("peer", PEER_NAMES)
def test_what_a_peer_needs_is_pinned_as_the_product_pins_it(peer: str) -> None:
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==\S+)", file.read_text(), re.M))

    pinned = pins(PEERS / peer / "requirements.txt")
    names = {pin.partition("==")[0] for pin in pinned}
    assert listed(peer) <= names
    of_product = pins(ROOT / "requirements.txt")
    shared = names & {pin.partition("==")[0] for pin in of_product}
    assert shared
    assert {pin for pin in pinned if pin.partition("==")[0] in shared} <= of_product
