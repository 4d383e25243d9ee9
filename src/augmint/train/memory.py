"""How much more memory this process may take: of the machine, of its control groups, of its own limits.

if table.nbytes > 0.25 * memory.available(): ...        # keep it on disk
"""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = 1 << 60  # control groups of version 1 say "no limit" by a number of this order


def _numbers(path: Path) -> dict[str, int]:
    """'name: 123 kB' or 'name 123', line by line, in bytes; {} for a file that is not there."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    lines = re.findall(r"^([\w().]+):?\s+(\d+)( kB)?$", text, re.MULTILINE)
    return {name: int(number) * (1024 if unit else 1) for name, number, unit in lines}


def _number(path: Path) -> int | None:
    """The one number in a file; None if there is no file, or 'max' in it."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that count this process's memory, each with those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        top = root / "sys/fs/cgroup" / ("" if controllers == "" else "memory")
        if controllers == "" or "memory" in controllers.split(","):
            inner = top / place.strip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _left_in_group(folder: Path) -> int | None:
    """What a control group (version 2 or 1) has left; file pages that can be dropped do not count as used."""
    for limit, used, droppable in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _number(folder / limit), _number(folder / used)
        if most is not None and now is not None and most < UNLIMITED:
            return most - now + _numbers(folder / "memory.stat").get(droppable, 0)
    return None


def _left_of_limits(root: Path) -> Iterator[int]:
    """What `ulimit -d` and `ulimit -v` leave."""
    now = _numbers(root / "proc/self/status")
    for name, used in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        most = resource.getrlimit(name)[0]
        if most != resource.RLIM_INFINITY:
            yield most - now.get(used, 0)


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may still take, by the tightest bound that is known; at least 0. `root` is for tests."""
    machine = _numbers(root / "proc/meminfo").get("MemAvailable")
    if machine is None:  # no Linux: half of what is built in
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    groups = [left for folder in _groups(root) if (left := _left_in_group(folder)) is not None]
    return max(0, min([machine, *groups, *_left_of_limits(root)]))
