"""The table of a load run: what the callers saw, what each service spent for a request, and what that would hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from load_processes import Usage

MOST_FAILED, MOST_P95_MS, MOST_P99_MS = 0.001, 50, 200
MOST_BUSY = 0.7  # of all cores: above that queues grow faster than the rate
_MIB = 1 << 20
_GROWN = 1.1


@dataclass(frozen=True)
class Outcome:
    """What k6 reported, its wall and processor seconds, and samples of the services before, during and after."""

    found: Mapping[str, Any]
    wall: float
    generator: float
    before: Any
    after: Any
    samples: tuple[Any, ...]

    @property
    def milliseconds(self) -> dict[str, float]:
        """Processor time of each service for a request, and of the generator as `k6`."""
        requests = max(self.found["requests"], 1)
        used = {
            name: (after.cpu - self.before.services[name].cpu) * 1000 / requests
            for name, after in self.after.services.items()
            if name in self.before.services
        }
        return {**used, "k6": self.generator * 1000 / requests}

    @property
    def of_platform(self) -> float:
        """Processor time of all services together for a request, in milliseconds."""
        return sum(value for name, value in self.milliseconds.items() if name != "k6")


def render(head: str, outcome: Outcome, rate: int, cores: int, most_p95: float = MOST_P95_MS) -> str:
    """Return the section of the page."""
    return "\n\n".join(
        [head, _seen(outcome, rate, most_p95), _spent(outcome), _holds(outcome, rate, cores), _memory(outcome)]
    )


Row = tuple[str, str, str, bool | None]


def bars(found: Mapping[str, Any], rate: int | None, most_p95: float = MOST_P95_MS) -> list[Row]:
    """Return what callers saw: name, value, bar, whether it was held; `rate` is None where it is not one."""
    failed = found["failed"] / max(found["requests"], 1)
    times = found["milliseconds"]
    rows: list[Row] = []
    if rate is not None:
        rows.append(("requests/s", f"{found['rate']:.0f}", f"{rate}", found["rate"] >= rate * 0.98))
    return [
        *rows,
        ("failed", f"{failed:.3%}", f"below {MOST_FAILED:.1%}", failed < MOST_FAILED),
        ("not sent in time", f"{found['dropped']}", "0", not found["dropped"]),
        ("p95", f"{times['p(95)']:.1f} ms", f"below {most_p95:g} ms", times["p(95)"] < most_p95),
        (
            "p99", f"{times['p(99)']:.1f} ms", f"below {4 * most_p95:g} ms",
            times["p(99)"] < 4 * most_p95,
        ),
        ("p50, longest", f"{times['med']:.1f}, {times['max']:.0f} ms", "", None),
    ]  # fmt: skip


def missed(found: Mapping[str, Any], rate: int, most_p95: float = MOST_P95_MS) -> list[str]:
    """Return the bars that were not held; of a run in steps those of its last one, after the load."""
    steps = found.get("steps")
    rows = bars(steps[-1], None, most_p95) if steps else bars(found, rate, most_p95)
    return [f"{name}: {value}, bar {bar}" for name, value, bar, held in rows if held is False]


def _seen(outcome: Outcome, rate: int, most_p95: float) -> str:
    found = outcome.found
    statuses = ", ".join(f"{count} times {status or 'no answer'}" for status, count in found.get("statuses", ()))
    failures = f"\n\nFailures: {statuses}." if statuses else ""
    if found.get("steps"):
        return _steps(found["steps"], rate) + failures
    lines = ["| what callers see | measured | bar | held |", "| --- | --- | --- | --- |"]
    words = {True: "yes", False: "no", None: ""}
    lines += [f"| {name} | {value} | {bar} | {words[held]} |" for name, value, bar, held in bars(found, rate, most_p95)]
    kinds = [
        f"{name} p50 {one['med']:.1f} ms, p99 {one['p(99)']:.1f} ms"
        for name in ("repeated", "distinct")
        if (one := found[name]).get("med") is not None
    ]
    return "\n".join(lines) + (f"\n\nQuestions: {'; '.join(kinds)}." if kinds else "") + failures


def _steps(steps: Sequence[Mapping[str, Any]], rate: int) -> str:
    """Return a row for each step; the bars are for the last one, when the load is over."""
    lines = [
        f"| step (of {rate} requests/s) | requests | failed | not sent in time | p50 | p95 | p99 | bars held |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for step in steps:
        times, failed = step["milliseconds"], step["failed"] / max(step["requests"], 1)
        held = "no" if any(row[3] is False for row in bars(step, None)) else "yes"
        lines.append(
            f"| {step['name']} | {step['requests']} | {failed:.3%} | {step['dropped']} | {times['med']:.1f} ms"
            f" | {times['p(95)']:.1f} ms | {times['p(99)']:.1f} ms | {held} |"
        )
    return "\n".join(lines)


def _spent(outcome: Outcome) -> str:
    lines = ["| service | processor time for a request, ms |", "| --- | --- |"]
    lines += [f"| {name} | {value:.3f} |" for name, value in sorted(outcome.milliseconds.items()) if name != "k6"]
    lines.append(f"| all services | {outcome.of_platform:.3f} |")
    lines.append(f"| k6, the generator | {outcome.milliseconds['k6']:.3f} |")
    return "\n".join(lines)


def _holds(outcome: Outcome, rate: int, cores: int) -> str:
    def held(of: int) -> int:
        return int(of * MOST_BUSY * 1000 / max(outcome.of_platform, 1e-9))

    spent = sum(outcome.milliseconds.values()) / 1000 * outcome.found["rate"]
    busy = sum(one.busy for one in outcome.samples[1:]) / max(len(outcome.samples) - 1, 1) * cores
    others = max(busy - spent, 0.0)
    needed = rate * outcome.of_platform / 1000 / MOST_BUSY
    return (
        f"By processor time, with {MOST_BUSY:.0%} of all cores busy: 2 cores without the generator hold {held(2)} requests/s,"
        f" 4 cores {held(4)}; {rate} requests/s need {needed:.1f} cores. In this run services and generator kept"
        f" {spent:.2f} of {cores} cores busy, other work on the machine {others:.2f}."
    )


def _memory(outcome: Outcome) -> str:
    """Say how memory went: the median of the second half of the run against that of the first."""
    half = len(outcome.samples) // 2
    grown, parts = [], []
    for name in sorted(outcome.after.services):
        first, second = (_median(part, name) for part in (outcome.samples[1 : half + 1], outcome.samples[half:]))
        parts.append(f"{name} {first / _MIB:.0f} to {second / _MIB:.0f} MiB")
        if first and second / first > _GROWN:
            grown.append(name)
    return f"Memory, first half to second: {', '.join(parts)}. More than a tenth more: {', '.join(grown) or 'none'}."


def _median(samples: tuple[Any, ...], name: str) -> float:
    values: list[Usage] = [one.services[name] for one in samples if name in one.services]
    return sorted(one.memory for one in values)[len(values) // 2] if values else 0.0
