"""From a fresh clone to the first answer: `python -m bench.first_call`.

Clones the last commit into a new folder, installs with no cache of packages, starts `make run`, and
sends the curl that it prints; then starts it again. Prints the seconds of each step.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from sandbox import postgres

ROOT = Path(__file__).resolve().parent.parent
PORT = "8765"


def main() -> None:
    folder = Path(tempfile.mkdtemp()) / "mnistapi"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    try:
        began = time.monotonic()
        subprocess.run(["make", "install"], cwd=folder, env=environment(), check=True)
        print(f"install, no cache: {(time.monotonic() - began) / 60:.1f} min", flush=True)
        for start in ("first", "second", "third"):
            print(
                f"{start} `make run` to the first 200: {seconds_to_answer(folder):.1f} s",
                flush=True,
            )
    finally:
        postgres.stop(folder / ".data" / "postgres")
        shutil.rmtree(folder.parent)


def environment() -> dict[str, str]:
    return {**os.environ, "PORT": PORT, "PIP_NO_CACHE_DIR": "1"}


def seconds_to_answer(folder: Path) -> float:
    began = time.monotonic()
    server = subprocess.Popen(
        ["make", "run"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        subprocess.run(
            ["bash", "-c", printed_curl(server)], cwd=folder, check=True, capture_output=True
        )
        return time.monotonic() - began
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait()


def printed_curl(server: "subprocess.Popen[str]") -> str:
    assert server.stdout
    output = ""
    for line in server.stdout:
        output += line
        if found := re.search(r"^    (curl.*?)\n\n", output, re.M | re.S):
            return found[1].replace("curl ", "curl --fail ", 1)
    raise SystemExit(f"it did not start:\n{output}")


if __name__ == "__main__":
    main()
