"""promtool, Prometheus' own checker of rules: where it is, and what it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.unit.observability.alert_cases import Case

_FOLDER = os.environ.get("RAGOPS_TEST_PROMETHEUS_BIN", "")
PROGRAM = shutil.which("promtool", path=_FOLDER) if _FOLDER else shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    not PROGRAM, reason="promtool is not installed (Debian: prometheus), and RAGOPS_TEST_PROMETHEUS_BIN names no folder"
)
BUDGETS = "ragops-availability.yml"  # its windows of days take most of the time: it is read where it is tested alone
_SCRAPED = 'up{job="api", instance="api", platform="rag", environment="live"}'


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool for at most five minutes."""
    assert PROGRAM
    return subprocess.run([PROGRAM, *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return sorted(files)


def verdicts(folder: Path, rules: Mapping[str, str], cases: Sequence[Case]) -> list[str]:
    """What promtool says of every case, in their order: empty if all is as it has to be.

    Each is a platform of its own, so that one evaluation of the rules serves all of them, and none disturbs another.
    """
    names = write(folder, rules)
    others = [name for name in names if name != BUDGETS]
    batches: dict[tuple[bool, str, str], list[int]] = {}
    for number, case in enumerate(cases):
        alone = "" if case.scraped else case.alert
        batches.setdefault((case.alert.startswith("Availability"), case.step, alone), []).append(number)
    for place, ((budgets, step, alone), numbers) in enumerate(batches.items()):
        chosen = {number: cases[number] for number in numbers}
        content = _unit_tests([BUDGETS] if budgets else others, step, chosen, scraped=not alone)
        (folder / f"test-{place}.yml").write_text(yaml.safe_dump(content, sort_keys=False, width=4096))
    done = run("test", "rules", *(f"test-{place}.yml" for place in range(len(batches))), cwd=folder)
    said = f"{done.stdout}\n{done.stderr}"
    assert said.count("SUCCESS") + said.count("FAILED:") == len(batches), said
    assert ("FAILED" in said) == bool(done.returncode), said
    return [_faults(said, number) for number in range(len(cases))]


def _platform(number: int) -> str:
    return f"case-{number:03}"


def _unit_tests(rules: list[str], step: str, cases: Mapping[int, Case], *, scraped: bool) -> dict[str, Any]:
    series = [{"series": _SCRAPED, "values": "1+0x6000"}] if scraped else []
    expressions = []
    for number, case in cases.items():
        for selector, values in case.series:
            series.append({"series": selector.replace('"rag"', f'"{_platform(number)}"'), "values": values})
        where = f'platform="{_platform(number)}"'
        if not scraped:  # an alert without a platform
            where = f'alertname!="Watchdog", environment!="{_platform(number)}"'
        expression = f'group by (alertname) (ALERTS{{alertstate="firing", {where}}})'
        firing = {case.quiet: (), case.fires: (case.alert, *case.also), case.over: ()}
        for moment, names in firing.items():
            wanted = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]
            expressions.append({"expr": expression, "eval_time": moment, "exp_samples": wanted})
    test = {"interval": step, "input_series": series, "promql_expr_test": expressions}
    return {"rule_files": rules, "evaluation_interval": step, "tests": [test]}


def _faults(said: str, number: int) -> str:
    parts = said.split("    expr: ")[1:]
    return "\n".join(part for part in parts if _platform(number) in part.partition(", time:")[0])
