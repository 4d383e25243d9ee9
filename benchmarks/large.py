"""A table larger than memory: 200,000 images of 64 × 64 under a limit that the resident form breaks.

    python benchmarks/large.py [--images 200000] [--limit 2] [--folder DIR]

Makes the images (JPEG in Parquet shards of 10,000, all alike). Then processes that may hold `--limit` GiB of data each
(RLIMIT_DATA, which does not count pages of a file map): one decodes and is killed by SIGKILL on the way; one goes on,
learns an encoder and writes the features of all images; one does that with a resident table, and must fail. At last,
without a limit, both forms are read and trained on in turns (process CPU time on one thread, median over rounds, the
data in the page cache), and threads and processes decode the same pictures (wall time). Writes results/large.json.
"""

import argparse
import io
import json
import multiprocessing
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file

from augmint.config import DataSettings, RepresentSettings
from augmint.data import build, cache, load
from augmint.data.manifest import write_manifest
from augmint.data.pixels import decode_all
from augmint.data.table import ImageTable
from augmint.represent import train_encoder
from augmint.train import Compute
from augmint.train.compute import cores
from augmint.train.progress import ProgressOut

SIDE, SHARD, GiB = 64, 10_000, 2**30
ENCODER = RepresentSettings(width=8, batch=64, images=2048, latent=32, decoder_width=8)
MAPPED, RESIDENT = DataSettings(), DataSettings(resident=1e9)
ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # its own reserves a GiB of addresses, which RLIMIT_DATA counts
Facts = dict[str, Any]


def jpeg(seed: int) -> bytes:
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def write_shard(path: Path, count: int) -> None:
    """Pictures 0 … count - 1."""
    images = [{"bytes": jpeg(i), "path": f"{i}.jpg"} for i in range(count)]
    pq.write_table(pa.table({"image": images, "label": [i % 10 for i in range(count)]}), path)


def generate(folder: Path, count: int) -> None:
    """All shards: the first written, the others its copies."""
    folder.mkdir()
    for first in range(0, count, SHARD):
        path, number = folder / f"{first:07d}.parquet", min(SHARD, count - first)
        if first and number == SHARD:
            shutil.copy(folder / f"{0:07d}.parquet", path)
        else:
            write_shard(path, number)


class Memory(threading.Thread):
    """Looks at this process every 20 ms: most data (what the limit counts) and most memory that is no file's, bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = {"VmData": 0, "RssAnon": 0}
        self.start()

    def run(self) -> None:
        while True:
            text = Path("/proc/self/status").read_text()
            for name in self.peak:
                found = re.search(rf"{name}:\s+(\d+)", text)
                self.peak[name] = max(self.peak[name], int(found[1]) * 1024 if found else 0)
            time.sleep(0.02)


def watch_decoding(facts: Facts) -> None:
    """Where decoding goes on inside `load`, and its time."""
    work = build.decode

    def call(*args: Any) -> Any:
        start = time.perf_counter()
        facts["rows_before"] = int(args[3].recall(cache.DONE).get("rows", 0))
        found = work(*args)
        facts["decode_seconds"] = time.perf_counter() - start
        return found

    build.decode = call


def whole(source: Path, settings: DataSettings, out: Path) -> Facts:
    """Load, manifest, encoder, features."""
    facts: Facts = {}
    memory = Memory()
    watch_decoding(facts)
    table = load(source, settings, ProgressOut())
    facts["form"] = type(table.images).__name__
    write_manifest(table, out / "manifest.parquet")
    pool = table.take(torch.randperm(len(table), generator=torch.Generator().manual_seed(0)))
    encoder = train_encoder(pool, ENCODER, Compute.choose("cpu", "fp32"), seed=0)
    save_file({"features": encoder.features(pool)}, out / "features.safetensors")
    return {**facts, "images": len(table), "peak_data": memory.peak["VmData"], "peak_anonymous": memory.peak["RssAnon"]}


def cpu_seconds(work: Callable[[], object]) -> float:
    """Process CPU time of it."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(source: Path, rounds: int) -> Facts:
    """Both forms in turns: images a CPU second, read and trained on; and whether they give the same features."""
    memory = Memory()
    tables = {"resident": load(source, RESIDENT)}
    found: Facts = {"resident_peak_data": memory.peak["VmData"]}
    tables["mapped"] = load(source, DataSettings(resident=0))  # which also puts it into the page cache
    compute, short = Compute.choose("cpu", "fp32"), ENCODER.model_copy(update={"images": 256})
    some = torch.randperm(len(tables["mapped"]), generator=torch.Generator().manual_seed(1))[:5000]

    def read(table: ImageTable) -> None:
        for part in torch.split(some, 256):
            table.gather(part)

    def train(table: ImageTable) -> None:
        train_encoder(table, short.model_copy(update={"whiten": None}), compute, seed=0)

    for name, work, images in (("read", read, len(some)), ("train", train, short.images)):
        times: dict[str, list[float]] = {form: [] for form in tables}
        for _ in range(rounds + 1):
            for form, table in tables.items():
                times[form].append(cpu_seconds(lambda work=work, table=table: work(table)))  # type: ignore[misc]
        found[name] = {form: images / statistics.median(seconds[1:]) for form, seconds in times.items()}
    one, other = (train_encoder(t, short, compute, seed=0).features(t.take(some)) for t in tables.values())
    return {**found, "features_equal": torch.equal(one, other)}


def decoders(count: int = 4000) -> Facts:
    """Pictures decoded a second (wall time) by one thread, a thread a core, a process a core; and a CPU second."""
    base = [jpeg(i) for i in range(200)]
    chunks = [[base[(start + i) % 200] for i in range(128)] for start in range(0, count, 128)]
    pools: dict[str, Callable[[], Executor]] = {
        "one thread": lambda: ThreadPoolExecutor(1),
        "threads": lambda: ThreadPoolExecutor(cores()),
        "processes": lambda: ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("fork")),
    }
    found: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(3):
        for name, make in pools.items():
            with make() as pool:
                list(pool.map(len, [[]] * 8))  # started
                start = time.perf_counter()
                list(pool.map(_decode, chunks))
                found[name].append(len(chunks) * 128 / (time.perf_counter() - start))
    rate = len(chunks) * 128 / cpu_seconds(lambda: [_decode(chunk) for chunk in chunks])
    return {"one thread in a CPU second": rate, **{name: statistics.median(rates) for name, rates in found.items()}}


def _decode(chunk: list[bytes]) -> int:
    return len(decode_all(chunk, (SIDE, SIDE), 3))


def child(kind: str, source: Path, limit: int) -> Facts:
    """One of the parts, under its limit."""
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(1)
    if kind == "compare":
        return {**compare(source, 3), "decoders": decoders()}
    if kind == "mapped":
        return whole(source, MAPPED, source.parent)
    try:
        return whole(source, RESIDENT, source.parent)
    except (MemoryError, RuntimeError) as error:  # numpy's and torch's ways to say it
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def start(kind: str, source: Path, limit: int) -> subprocess.Popen[str]:
    """A process for one of the parts."""
    environment = {**os.environ, "AUGMINT_CACHE": str(source.parent / "cache"), **ALLOCATOR}
    command = [sys.executable, __file__, "--child", kind, "--folder", str(source), "--limit", str(limit / GiB)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Facts:
    """What it found."""
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a part of the benchmark ended with {process.returncode}")
    found: Facts = json.loads(said.splitlines()[-1])
    return found


def killed(source: Path, limit: int, at: int) -> int:
    """Start decoding, kill it by SIGKILL once `at` images are noted as done; how many were."""
    process = start("mapped", source, limit)
    while process.poll() is None:
        for note in (source.parent / "cache").glob(f".part-*/{cache.DONE}"):
            rows = int(json.loads(note.read_text())["rows"])
            if rows >= at:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return rows
        time.sleep(0.05)
    raise SystemExit("decoding ended before it could be killed; make more images")


def measure(folder: Path, images: int, limit: int) -> Facts:
    """Everything, in order."""
    source = folder / "shards"
    generate(source, images)
    rows = killed(source, limit, images // 10)
    mapped = result(start("mapped", source, limit))
    resident = result(start("resident", source, limit))
    return {
        "images": images,
        "pixels_bytes": images * 3 * SIDE * SIDE,
        "limit_bytes": limit,
        "killed_after": rows,
        "mapped": mapped,
        "resident_under_the_limit": resident,
        **result(start("compare", source, 0)),
        "machine": f"{platform.machine()}, {cores()} cores, torch {torch.__version__}",
    }


def show(found: Facts) -> None:
    """For people."""
    mapped = found["mapped"]
    left = found["images"] - mapped["rows_before"]
    lines = {
        "images": f"{found['images']:,}, {found['pixels_bytes'] / GiB:.2f} GiB of pixels",
        "limit": f"{found['limit_bytes'] / GiB:.2f} GiB of data a process",
        "killed": f"after {found['killed_after']:,} images; {left:,} were left to the next process",
        "decoding": f"{left / mapped['decode_seconds']:,.0f} images/s",
        "map, with the limit": f"{mapped['peak_data'] / GiB:.2f} GiB of data at most",
        "resident, with the limit": found["resident_under_the_limit"].get("error", "did NOT fail"),
        "resident, no limit": f"{found['resident_peak_data'] / GiB:.2f} GiB of data at most",
        "features": "equal bit for bit" if found["features_equal"] else "DIFFER",
    }
    for name in ("read", "train"):
        rates = found[name]
        pair = f"{rates['mapped']:,.0f} images a CPU s from the map, {rates['resident']:,.0f} resident"
        lines[name] = f"{pair}: {rates['mapped'] / rates['resident']:.3f}"
    for name, rate in found["decoders"].items():
        lines[f"decoded by {name}"] = f"{rate:,.0f} images/s"
    for name, line in lines.items():
        print(f"{name:<38}{line}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=200_000)
    arguments.add_argument("--limit", type=float, default=2.0, help="GiB of data that a process may hold")
    arguments.add_argument("--folder", type=Path, help="where the images and the cache go; default a temporary folder")
    arguments.add_argument("--child", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    limit = round(given.limit * GiB)
    if given.child:
        print(json.dumps(child(given.child, given.folder, limit)))
        return
    folder = Path(tempfile.mkdtemp(prefix="large-", dir=given.folder))
    try:
        found = measure(folder, given.images, limit)
    finally:
        shutil.rmtree(folder)
    show(found)
    target = Path(__file__).parent / "results" / "large.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
