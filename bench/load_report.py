"""The table of a load run: what the callers saw, what each service spent for a request, and what that would hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from load_processes import Usage

MOST_FAILED, MOST_P95_MS = 0.001, 50
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


def render(head: str, outcome: Outcome, rate: int, cores: int) -> str:
    """Return the section of the page."""
    return "\n\n".join([head, _seen(outcome, rate), _spent(outcome), _holds(outcome, rate, cores), _memory(outcome)])


def _seen(outcome: Outcome, rate: int) -> str:
    found = outcome.found
    failed = found["failed"] / max(found["requests"], 1)
    times = found["milliseconds"]
    rows = [
        ("requests/s", f"{found['rate']:.0f}", f"{rate}", found["rate"] >= rate * 0.98),
        ("failed", f"{failed:.3%}", f"below {MOST_FAILED:.1%}", failed < MOST_FAILED),
        ("not sent in time", f"{found['dropped']}", "0", not found["dropped"]),
        ("p95", f"{times['p(95)']:.1f} ms", f"below {MOST_P95_MS} ms", times["p(95)"] < MOST_P95_MS),
        ("p50, p99, longest", f"{times['med']:.1f}, {times['p(99)']:.1f}, {times['max']:.0f} ms", "", None),
    ]
    lines = ["| what callers see | measured | bar | held |", "| --- | --- | --- | --- |"]
    words = {True: "yes", False: "no", None: ""}
    lines += [f"| {name} | {value} | {bar} | {words[held]} |" for name, value, bar, held in rows]
    kinds = [
        f"{name} p50 {one['med']:.1f} ms, p99 {one['p(99)']:.1f} ms"
        for name in ("repeated", "distinct")
        if (one := found[name]).get("med") is not None
    ]
    return "\n".join(lines) + (f"\n\nQuestions: {'; '.join(kinds)}." if kinds else "")


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
