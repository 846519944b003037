"""The memory of a worker with each runtime: `python -m bench.memory`.

Starts the product on a database of its own, sends it some calls, and prints the proportional set
size (PSS) of each worker and of gunicorn's master, in MB.
"""

import os
import tempfile
from pathlib import Path

from bench import processes
from model.serving import RUNTIMES
from sandbox import environment
from tests.serving import ROOT, Server, drop_database, new_database

DIGIT = ROOT / "mnistapi" / "static" / "mnistapi" / "digit.json"
CALLS = 50


def main() -> None:
    environment.fill()
    here = os.environ["DATABASE_URL"]
    for runtime in RUNTIMES:
        url = new_database(here)
        with tempfile.TemporaryDirectory() as folder:
            server = Server(url, Path(folder), {"MODEL_RUNTIME": runtime})
            try:
                print(f"{runtime}: {measure(server.start())}", flush=True)
            finally:
                server.stop()
                drop_database(here, url)


def measure(server: Server) -> str:
    key = server.manage("create_key", "bench@example.com")
    for _ in range(CALLS):
        assert server.post("/v1/predictions", DIGIT.read_bytes(), key).status == 200
    assert server.process
    workers = ", ".join(f"{megabytes(pid):.0f}" for pid in server.worker_pids())
    return f"workers {workers} MB, master {megabytes(server.process.pid):.0f} MB"


def megabytes(pid: int) -> float:
    return processes.pss_kilobytes(pid) / 1024


if __name__ == "__main__":
    main()
