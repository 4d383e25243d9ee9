"""What memory is left, by machine, control group and limits; files of the kernel's as they look."""

import resource
from pathlib import Path

import pytest

from augmint.train import memory

GiB = 1 << 30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": f"MemTotal:       {16 << 20} kB\nMemAvailable:    {8 << 20} kB\nHugePages_Total:       0\n"}
TWO = {
    "proc/self/cgroup": "0::/user/job\n",
    "sys/fs/cgroup/user/job/memory.max": "max\n",
    "sys/fs/cgroup/user/job/memory.current": f"{3 * GiB}\n",
    "sys/fs/cgroup/user/memory.max": f"{4 * GiB}\n",
    "sys/fs/cgroup/user/memory.current": f"{3 * GiB}\n",
    "sys/fs/cgroup/user/memory.stat": f"anon 17\ninactive_file {GiB}\n",
}
ONE = {
    "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{5 * GiB}\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GiB}\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GiB}\n",
}


@pytest.mark.parametrize("files, left", [({}, 8 * GiB), (TWO, 2 * GiB), (ONE, GiB)], ids=["none", "v2", "v1"])
def test_the_tightest_bound_counts(tmp_path: Path, files: dict[str, str], left: int) -> None:
    assert memory.available(write(tmp_path, MACHINE | files)) == left


def test_an_overdrawn_group_has_nothing_left(tmp_path: Path) -> None:
    over = {**ONE, "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{3 * GiB}\n"}
    assert memory.available(write(tmp_path, MACHINE | over)) == 0


def test_limits_of_the_process_count(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    root = write(tmp_path, MACHINE | {"proc/self/status": f"Name:\tpython\nVmData:\t{1 << 20} kB\n"})
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (4 * GiB, before[1]))
        assert memory.available(root) == 3 * GiB and memory.available() <= 4 * GiB
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert memory.available() > 0
