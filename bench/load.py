"""Load for one server: the same request over and over, from wrk, for a set time."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
# An answer that takes longer fails the run, and wrk itself must end soon after its time.
ANSWER_SECONDS = 10
GRACE_SECONDS = 20
ERRORS = ("status", "connect", "read", "write", "timeout")


class LoadFailed(Exception):
    """Not every call was answered well, so what was measured is not what was asked for."""


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Load:
    """What one run came to; all calls were answered below 400."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float


def run(url: str, request: Request, connections: int, seconds: int) -> Load:
    """POST on so many connections at once; raises LoadFailed unless all is answered well."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.body)
        body.flush()
        command = [
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds}s", "--timeout", f"{ANSWER_SECONDS}s"),
            *("--script", str(SCRIPT), url + request.path, "--", body.name),
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        try:
            finished = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"wrk did not end: {url}{request.path}") from error
        except subprocess.CalledProcessError as error:
            raise LoadFailed(f"wrk failed: {error.stdout}{error.stderr}") from error
    return read(finished.stdout)


def read(printed: str) -> Load:
    """The load from the line that post.lua prints last; raises LoadFailed."""
    counts = json.loads(printed.splitlines()[-1])
    if failed := {name: counts[name] for name in ERRORS if counts[name]}:
        raise LoadFailed(f"of {counts['calls']} calls some failed: {failed}")
    if not counts["calls"]:
        raise LoadFailed("no call was answered")
    return Load(
        counts["calls"],
        counts["microseconds"] / 1e6,
        counts["p50"] / 1000,
        counts["p99"] / 1000,
    )
