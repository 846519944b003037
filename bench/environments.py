"""The virtual environments of the peers, under .data/bench/: made at first use, then kept."""

import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
MADE = Path(__file__).resolve().parent.parent / ".data" / "bench"
INSTALL_SECONDS = 900


def programs(peer: str) -> Path:
    """The folder of the peer's python and servers, with exactly what its requirements.txt pins."""
    folder = MADE / peer
    wanted = (PEERS / peer / "requirements.txt").read_text()
    installed = folder / "requirements.txt"
    if not installed.exists() or installed.read_text() != wanted:
        make(folder, PEERS / peer / "requirements.txt")
        installed.write_text(wanted)  # last: an installation that was cut off is made anew
    return folder / "bin"


def make(folder: Path, requirements: Path) -> None:
    print(f"Installing {requirements.parent.name} into {folder}.", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    pip += ["--disable-pip-version-check", "--require-hashes", "-r", str(requirements)]
    subprocess.run(pip, check=True, timeout=INSTALL_SECONDS)
