"""The servers that are measured: started, asked for a first answer, and ended."""

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import STDOUT
from typing import Any

import psutil

from bench import load, processes
from bench.bodies import DIGIT
from bench.load import Load, LoadFailed, Request
from sandbox import postgres

START_SECONDS = 60
STOP_SECONDS = 40


class NotServing(Exception):
    """It ended, took too long, or answered wrongly, so there is nothing to measure."""


@dataclass(frozen=True)
class Site:
    """A folder and a PostgreSQL that are there for one run."""

    folder: Path
    database_url: str

    @property
    def postgres(self) -> psutil.Process:
        process = postgres.process_of(self.folder / "postgres")
        assert process, "PostgreSQL ended"
        return process


@contextmanager
def new_site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield Site(folder, postgres.start(folder / "postgres"))
    finally:
        postgres.stop(folder / "postgres")
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Program:
    """A command that listens on the port of 127.0.0.1, and where and how it is run."""

    command: list[str]
    port: int
    folder: Path
    environment: dict[str, str]
    log: Path


@dataclass
class Contestant:
    """A server that recognises digits, and what it is sent, by kind of request.

    `digit_of` reads the digit from its answer to the kind "single".
    """

    title: str
    program: Program
    requests: dict[str, Request]
    digit_of: Callable[[Any], int]
    process: psutil.Popen = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.program.port}"

    @contextmanager
    def running(self) -> Iterator[float]:
        """Gives the seconds from its start to its first answer, which is checked."""
        began = time.monotonic()
        self.start()
        try:
            self.wait_for_answer(began + START_SECONDS)
            yield time.monotonic() - began
        finally:
            self.stop()

    def start(self) -> None:
        program = self.program
        with program.log.open("ab") as log:
            self.process = psutil.Popen(
                program.command,
                cwd=program.folder,
                env=program.environment,
                stdout=log,
                stderr=STDOUT,
            )

    def wait_for_answer(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0 and self.process.poll() is None:
            with suppress(OSError):  # it does not listen yet
                return self.check_answer(left)
            time.sleep(0.01)
        raise NotServing(f"{self.title} does not answer:\n{self.last_lines()}")

    def check_answer(self, seconds: float) -> None:
        """Raises NotServing if it answers wrongly, OSError if it does not answer."""
        request = self.requests["single"]
        post = urllib.request.Request(self.url + request.path, request.body, request.headers)
        try:
            with urllib.request.urlopen(post, timeout=seconds) as response:
                digit = self.digit_of(json.load(response))
        except urllib.error.HTTPError as error:
            raise NotServing(f"{self.title}: {error.code} {error.read()[:1000]!r}") from error
        if digit != DIGIT:
            raise NotServing(f"{self.title} takes a {DIGIT} for a {digit}")

    def load(self, kind: str, connections: int, seconds: int) -> Load:
        """Send requests of a kind without pause. Raises LoadFailed, with what the server said."""
        try:
            return load.run(self.url, self.requests[kind], connections, seconds)
        except LoadFailed as error:
            raise LoadFailed(f"{self.title}, {kind}: {error}\n{self.last_lines()}") from error

    def work_off(self) -> None:
        """Wait for what a load has left in the queue: an answer comes behind that."""
        try:
            self.check_answer(load.ANSWER_SECONDS)
        except OSError as error:
            raise NotServing(
                f"{self.title} answers no more: {error}\n{self.last_lines()}"
            ) from error

    def last_lines(self) -> str:
        return self.program.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End its processes, also one that outlives its master."""
        if self.process.poll() is not None:
            return
        started = processes.tree(self.process)
        self.process.terminate()
        with suppress(psutil.TimeoutExpired):
            self.process.wait(timeout=STOP_SECONDS)
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
