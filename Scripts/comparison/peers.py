"""The two sides as processes that answer requests, and samples of how long a stage takes."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import time

import numpy

# A sample is spoiled where a thread, on average, waited for a core for more than this share of its time.
MOST_WAITING = 0.02
# Calls of a short stage are timed together for about this long.
BATCH_SECONDS = 0.05


class Peer:
    """A process that loads a policy and carries out one stage a request."""

    def __init__(self, name, command, threads, environment=None):
        self.name, self.threads = name, threads
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, **(environment or {})})
        self.load = self.answer()["load"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, stage, calls=1, **files):
        """(seconds a call, share of its time that a thread waited for a core)"""
        request = {"stage": stage, "calls": calls, "threads": self.threads}
        request |= {name: str(path) for name, path in files.items()}
        waited = self.waited()
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        seconds = self.answer()["seconds"]
        return seconds / calls, (self.waited() - waited) / (seconds * self.threads)

    def waited(self):
        """Seconds that all threads have been ready to run and had no core, of this machine's or
        its host's."""
        total = 0
        for thread in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((thread / "schedstat").read_text().split()[1])
        stolen = int(open("/proc/stat").readline().split()[8])
        return total / 1e9 + stolen / os.sysconf("SC_CLK_TCK")

    def peak_memory(self):
        """GiB"""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def pi0(program, device, checkpoint, inputs, threads, *options, name="PI0Kit"):
    """Our side: a policy on one of pi0's devices."""
    command = [program, "bench", "--serve", "--device", device, "--checkpoint", checkpoint, "--inputs", inputs]
    return Peer(name, [*command, *options], threads)


class Comparison:
    """Samples of both sides in turn."""

    def __init__(self, ours, theirs, work):
        self.ours, self.theirs, self.work = ours, theirs, work

    def run(self, stage, samples):
        """A row of the report: times, their ratios pair by pair, and how far results differ."""
        first = {}
        outputs = {}
        for peer in (self.ours, self.theirs):
            outputs[peer] = self.work / f"{peer.name.split()[0]}.{stage}.float32"
            first[peer] = peer.ask(stage, output=outputs[peer])
        # What takes seconds is warm from the stages before: its first call counts, and little is
        # tried again.
        pairs, attempts = [], 3 * samples
        if all(seconds > 5 for seconds, _ in first.values()):
            pairs.append((first[self.ours], first[self.theirs]))
            attempts = samples + 1
        else:
            for peer in first:
                first[peer] = peer.ask(stage)
        calls = {
            peer: max(1, min(10_000, round(BATCH_SECONDS / seconds)))
            for peer, (seconds, _) in first.items()
        }
        clean = [pair for pair in pairs if not spoiled(pair)]
        discarded = len(pairs) - len(clean)
        kept = list(pairs)
        # So many are tried, and then what there is must do.
        for attempt in range(attempts - len(pairs)):
            if len(clean) >= samples:
                break
            order = (self.ours, self.theirs) if attempt % 2 else (self.theirs, self.ours)
            sample = {peer: peer.ask(stage, calls[peer]) for peer in order}
            pair = (sample[self.ours], sample[self.theirs])
            kept.append(pair)
            if spoiled(pair):
                discarded += 1
            else:
                clean.append(pair)
        used = clean or kept
        row = {
            "stage": stage, "threads": self.ours.threads, "against": self.theirs.name,
            "ours": summary([ours for (ours, _), _ in used]),
            "theirs": summary([theirs for _, (theirs, _) in used]),
            "ratio": summary([theirs / ours for (ours, _), (theirs, _) in used]),
            "samples": len(used), "discarded": discarded, "clean": bool(clean),
        }
        return row | difference(*outputs.values())


def spoiled(pair):
    return any(waiting > MOST_WAITING for _, waiting in pair)


def summary(values):
    return {
        "median": statistics.median(values), "minimum": min(values), "maximum": max(values)}


def difference(ours, theirs):
    """Correlation and relative RMS of our result against theirs."""
    a = numpy.fromfile(ours, numpy.float32).astype(numpy.float64)
    b = numpy.fromfile(theirs, numpy.float32).astype(numpy.float64)
    if a.shape != b.shape:
        raise SystemExit(f"{ours} has {a.size} numbers, {theirs} {b.size}")
    scale = numpy.sqrt((b**2).mean())
    rms = float(numpy.sqrt(((a - b) ** 2).mean()) / scale) if scale > 0 else float(abs(a).max())
    constant = a.std() == 0 or b.std() == 0
    return {"rms": rms, "pcc": 1.0 - rms if constant else float(numpy.corrcoef(a, b)[0, 1])}


def beside_busy(peer, stage):
    """How many times as long a stage takes when another process is busy on one of the cores."""
    peer.ask(stage)
    free = min(peer.ask(stage)[0] for _ in range(3))
    busy = multiprocessing.Process(target=spin, daemon=True)
    busy.start()
    time.sleep(0.5)
    try:
        slow = statistics.median(peer.ask(stage)[0] for _ in range(3))
    finally:
        busy.terminate()
        busy.join()
    return {"against": peer.name, "stage": stage, "free": free, "busy": slow, "times": slow / free}


def spin():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    while True:
        pass
