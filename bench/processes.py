"""What a server takes, all of its processes together, from /proc."""

from contextlib import suppress
from pathlib import Path

import psutil


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process, what it has started, what those have, and so on."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time so far, with that of children that have ended and were reaped."""
    total = 0.0
    for one in tree(process):
        with suppress(psutil.NoSuchProcess):  # ended this instant: its parent counts it
            total += sum(one.cpu_times()[:4])  # its own and its ended children's, user and system
    return total


def megabytes(process: psutil.Process) -> float:
    """The proportional set size (PSS): memory shared by n processes counts an n-th in each."""
    return sum(pss_kilobytes(one.pid) for one in tree(process)) / 1024


def pss_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
