"""Mixed load with random faults: does the gateway stay as big as it was, and does one connector's trouble slow others?

    tests/.venv/bin/python tests/e2e/soak.py [--minutes 10] [--callers 16]

Clients of both eras open and close sessions over several MCP connectors, while programs crash, hang and flood in every
other stretch of half a minute. Every ten seconds it prints the gateway's memory, descriptors and processes, and at the
end a verdict: the medians of the second and the last fifth are alike, or not; and how long calls of a connector that
nothing happens to take in the stretches with faults, compared with those without. Not part of tests/run.
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import upstreams
from connectors import FIXTURE, connector, marked, program, tools, wrapped
from harness import Server, serve, until
from session import CAPABILITIES, over_http, over_sse
from upstreams import listening
from wire import Wire, result, text

SAMPLE_EVERY = 10
STRETCH = 30
# The most a client waits between two things, in seconds, so that the machine has room and latencies mean something.
PAUSE = 0.4
MARK = f"soak-{time.time_ns()}"
# How much more at the end is still flat: a share, and what one more connection or buffer may cost.
SLACK = {"rss": (1.10, 8.0), "descriptors": (1.05, 8), "processes": (1.0, 3)}


@dataclass
class Soak:
    server: Server
    ends: float
    started: float = field(default_factory=time.monotonic)
    counts: Counter = field(default_factory=Counter)
    latencies: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    errors_of_the_calm: list[str] = field(default_factory=list)

    def goes_on(self) -> bool:
        return time.monotonic() < self.ends

    def faulty(self) -> bool:
        """Whether this is a stretch with faults."""
        return int((time.monotonic() - self.started) / STRETCH) % 2 == 1

    def call(self, wire: Wire, tool: str, **arguments: object) -> bool:
        """One call without a session; whether it went well."""
        try:
            answer = result(wire.modern("tools/call", {"name": tool, "arguments": arguments}))
            good = not answer.get("isError")
        except Exception:  # noqa: BLE001 - faults are what this is for
            good = False
        self.counts["good" if good else "failed"] += 1
        return good


# What clients do


def calls(soak: Soak) -> None:
    """Modern requests, one after the other."""
    wire = Wire(soak.server.base)
    while soak.goes_on():
        time.sleep(random.random() * PAUSE)
        id = random.choice(["fix", "web", "npx"])
        match random.randrange(4):
            case 0:
                soak.call(wire, f"{id}_echo", message="x" * random.randrange(10_000))
            case 1:
                soak.call(wire, f"{id}_big", bytes=random.randrange(300_000))
            case 2:
                soak.call(wire, f"{id}_slow", ms=random.randrange(500), steps=5)
            case 3:
                soak.call(wire, "every_get-sum", a=1, b=2)


def sessions(soak: Soak) -> None:
    """Sessions that are opened, used a little and closed, with and without questions back."""
    while soak.goes_on():
        time.sleep(random.random() * PAUSE)
        connect = random.choice([over_http, over_sse])
        try:
            with connect(soak.server.url, capabilities=random.choice([{}, CAPABILITIES])) as session:
                soak.counts["sessions"] += 1
                session.listed("tools")
                id = random.choice(["fix", "web"])
                for _ in range(random.randrange(1, 6)):
                    session.call(f"{id}_echo", {"message": "in a session"})
                    session.call(f"{id}_test_sampling", {"prompt": "anything"})
                    hang, _ = session.begin("tools/call", {"name": f"{id}_hang", "arguments": {}})
                    session.notify("notifications/cancelled", {"requestId": hang})
        except Exception:  # noqa: BLE001
            soak.counts["broken sessions"] += 1


def measures(soak: Soak) -> None:
    """The calls of the connector that nothing happens to, and how long they take."""
    wire = Wire(soak.server.base)
    while soak.goes_on():
        faulty, began = soak.faulty(), time.perf_counter()
        try:
            answer = result(wire.modern("tools/call", {"name": "calm_echo", "arguments": {"message": "calm"}}))
            if text(answer) != "calm":
                soak.errors_of_the_calm.append(str(answer))
        except Exception as error:  # noqa: BLE001
            soak.errors_of_the_calm.append(repr(error))
        soak.latencies[faulty].append(time.perf_counter() - began)
        time.sleep(0.02)


# What goes wrong


def kill_one() -> None:
    running = marked(MARK)
    for process in random.sample(running, k=min(1, len(running))):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def troubles(soak: Soak) -> None:
    wire = Wire(soak.server.base)
    faults: list[Callable[[], object]] = [
        lambda: soak.call(wire, "fix_crash"),
        lambda: soak.call(wire, "npx_crash"),
        lambda: soak.call(wire, "fix_half_close"),
        lambda: soak.call(wire, "web_half_close"),
        lambda: soak.call(wire, "web_close_sessions"),
        lambda: soak.call(wire, "fix_flood", count=2000),
        lambda: soak.call(wire, "fix_long_line", megabytes=20),
        lambda: soak.call(wire, "fix_add_tool", name=f"tool_{random.randrange(20)}"),
        kill_one,
    ]
    while soak.goes_on():
        if soak.faulty():
            random.choice(faults)()
            soak.counts["faults"] += 1
        time.sleep(0.3)


# What is looked at


def sample(soak: Soak) -> dict[str, float]:
    gateway = psutil.Process(soak.server.process.pid)
    return {
        "rss": gateway.memory_info().rss / 2**20,
        "descriptors": gateway.num_fds(),
        "processes": len(soak.server.children()),
    }


def watch(soak: Soak) -> list[dict[str, float]]:
    samples = []
    print(f"{'s':>5} {'MiB':>7} {'fds':>5} {'procs':>5}  faults  what happened so far", flush=True)
    while soak.goes_on():
        time.sleep(SAMPLE_EVERY)
        now = sample(soak)
        samples.append(now)
        memory = f"{now['rss']:7.1f} {now['descriptors']:5.0f} {now['processes']:5.0f}"
        print(
            f"{time.monotonic() - soak.started:5.0f} {memory}  {'yes' if soak.faulty() else 'no':6}",
            dict(soak.counts),
            flush=True,
        )
    return samples


def verdict(samples: list[dict[str, float]]) -> bool:
    fifth = max(1, len(samples) // 5)
    second, last = samples[fifth : 2 * fifth], samples[-fifth:]
    flat = True
    for name, (share, more) in SLACK.items():
        before, after = (statistics.median(each[name] for each in part) for part in (second, last))
        fine = after <= before * share + more
        flat &= fine
        print(f"{name:12} second fifth {before:8.1f}   last fifth {after:8.1f}   {'flat' if fine else 'NOT FLAT'}")
    return flat


def latency(soak: Soak) -> None:
    for name, at in [("median", 0.5), ("99th percentile", 0.99)]:
        each = [sorted(soak.latencies[faulty]) for faulty in (False, True)]
        without, with_faults = (taken[int(len(taken) * at)] for taken in each)
        print(
            f"calls of the calm connector, {name}: {without * 1000:.1f} ms without faults, {with_faults * 1000:.1f} ms"
            f" with: ratio {with_faults / without:.2f}"
        )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--callers", type=int, default=16)
    asked = options.parse_args()
    with ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory()))
        base, _ = running.enter_context(listening([FIXTURE, "http", "--faults"]))
        every = running.enter_context(upstreams.everything("every", "sse").adapter(home / "every"))
        more = {"timeouts": {"requestMs": 5000}}
        for id, adapter in {
            "calm": program(),
            "fix": program(env={"MARK": MARK}),
            "npx": wrapped(env={"MARK": MARK}),
            "web": {"url": f"{base}/mcp", "allowPrivate": True},
            "every": every | {"transport": "sse"},
        }.items():
            manifests = connector(home / "manifests", id, adapter, **more)
        server = running.enter_context(serve(manifests))
        wanted = {"calm_echo", "fix_echo", "npx_echo", "web_echo", "every_get-sum"}
        until(lambda: wanted <= tools(server), f"the tools: {server.log}")
        soak = Soak(server, time.monotonic() + asked.minutes * 60)
        work = [*[calls] * (asked.callers // 2), *[sessions] * (asked.callers // 2), measures, troubles]
        threads = [threading.Thread(target=each, args=[soak], daemon=True) for each in work]
        for thread in threads:
            thread.start()
        flat = verdict(watch(soak))
        latency(soak)
        print(f"errors of the calm connector: {len(soak.errors_of_the_calm)} {soak.errors_of_the_calm[:3]}")
        return 0 if flat and not soak.errors_of_the_calm else 1


if __name__ == "__main__":
    sys.exit(main())
