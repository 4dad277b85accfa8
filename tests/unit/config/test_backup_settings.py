"""The section `backup:` of ragops.yaml: each wrong value is told with its line, what may hold a secret is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from ragops.config.load import load
from ragops.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.config.backup import BackupSettings
    from ragops.errors import Problem

RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())
KEY = "ed25519:" + "A" * 43 + "="


def read(folder: Path, *lines: str) -> BackupSettings:
    (folder / "ragops.yaml").write_text("\n".join(("name: rag", "backup:", *(f"  {line}" for line in lines), "")))
    return load(folder / "ragops.yaml", None).settings.backup


def faults(folder: Path, *lines: str) -> dict[str, Problem]:
    with pytest.raises(InvalidInputError) as caught:
        read(folder, *lines)
    assert all(problem.key.startswith("backup.") for problem in caught.value.problems)
    return {problem.key.removeprefix("backup."): problem for problem in caught.value.problems}


def where(found: dict[str, Problem]) -> dict[str, str]:
    return {key: problem.where.rpartition("/")[2] for key, problem in found.items()}


def test_without_the_section_there_is_one_folder_and_seven_days(tmp_path: Path) -> None:
    (tmp_path / "ragops.yaml").write_text("name: rag\n")
    found = load(tmp_path / "ragops.yaml", None).settings.backup
    assert (found.repository.url, found.copies, found.recipients, found.verify_keys) == ("backups", (), (), ())
    assert (found.keep.daily, found.keep.weekly, found.keep.monthly) == (7, 0, 0)
    assert (found.jobs, found.max_age_hours, found.drill_max_age_days) == (2, 26, None)


def test_places_are_written_short_or_in_full(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "repository: s3://bucket/rag",
        "copies:",
        "  - /mnt/backups",
        "  - {url: 'sftp://host/rag', options: {port: 2222}, options_file: sftp.yaml}",
    )
    assert found.repository.url == "s3://bucket/rag"
    assert [(item.url, dict(item.options), item.options_file) for item in found.copies] == [
        ("/mnt/backups", {}, ""),
        ("sftp://host/rag", {"port": 2222}, "sftp.yaml"),
    ]


def test_all_of_it(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"recipients: [{RECIPIENT}]",
        f"verify_keys: ['{KEY}']",
        "keep: {daily: 0, weekly: 4, monthly: 12}",
        "jobs: 32",
        "max_age_hours: 0.5",
        "drill_max_age_days: 30",
        "ping: {start: 'https://hc.example/x/start', success: 'http://127.0.0.1:1/x', failure: ''}",
    )
    assert found.recipients == (RECIPIENT,)
    assert found.verify_keys == (KEY,)
    assert (found.keep.daily, found.keep.monthly) == (0, 12)
    assert found.drill_max_age_days == 30


SECRET_KEY = str(pyrage.x25519.Identity.generate())
WRONG: list[tuple[str, Any]] = [
    ("repository", 7),
    ("repository", None),
    ("repository", ["backups"]),
    ("repository.url", ""),
    ("repository.url", "back\nups"),
    ("repository.url", 7),
    ("repository.options", "endpoint_url"),
    ("repository.options_file", 7),
    ("repository.options_file", "a\x00b"),
    ("copies", "s3://bucket"),
    ("recipients", RECIPIENT),
    ("identity_file", 7),
    ("identity_file", "a\nb"),
    ("verify_keys", KEY),
    ("keep", 7),
    ("keep.daily", -1),
    ("keep.daily", "7"),
    ("keep.daily", 1.5),
    ("keep.daily", True),
    ("keep.daily", None),
    ("keep.weekly", -1),
    ("keep.monthly", "many"),
    ("jobs", 0),
    ("jobs", 33),
    ("jobs", "2"),
    ("jobs", True),
    ("staging", ["x"]),
    ("max_age_hours", 0),
    ("max_age_hours", "26"),
    ("drill_max_age_days", 0),
    ("drill_max_age_days", -1),
    ("drill_max_age_days", "weekly"),
    ("metrics_file", "a\nb"),
    ("ping", "https://hc.example"),
    ("ping.start", "hc.example"),
    ("ping.success", "ftp://hc.example"),
    ("ping.failure", "https://hc.example/a b"),
    ("ping.failure", "file:///etc/passwd"),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}-{number}" for number, (key, _) in enumerate(WRONG)])
def test_each_wrong_value_is_told_with_its_line(tmp_path: Path, key: str, value: Any) -> None:
    section, _, inner = key.partition(".")
    lines = [f"{section}:", f"  {inner}: {json.dumps(value)}"] if inner else [f"{section}: {json.dumps(value)}"]
    if section == "repository" and inner != "url" and inner:
        lines.append("  url: backups")
    found = faults(tmp_path, "# a line before", *lines)
    line = 5 if inner else 4
    assert where(found) == {key: f"ragops.yaml:{line}"}


@pytest.mark.parametrize(
    ("lines", "key", "line"),
    [
        (("copies:", "  - s3://a", "  - {url: ''}"), "copies.1.url", 5),
        (("copies:", "  - 7"), "copies.0", 4),
        (("copies:", "  - {url: x, secret: y}"), "copies.0.secret", 4),
        (("recipients:", f"  - {RECIPIENT}", "  - age1nope"), "recipients.1", 5),
        (("recipients:", f"  - {SECRET_KEY}"), "recipients.0", 4),
        (("verify_keys:", f"  - '{KEY}'", "  - 'ed25519:AAAA'"), "verify_keys.1", 5),
        (("verify_keys:", "  - rsa:x"), "verify_keys.0", 4),
        (("keep:", "  daily: 1", "  yearly: 1"), "keep.yearly", 5),
        (("ping:", "  begin: https://x.example"), "ping.begin", 4),
        (("repository:", "  uri: x"), "repository.uri", 4),
        (("schedule: daily",), "schedule", 3),
    ],
)
def test_what_is_wrong_inside_is_told_with_its_own_line(
    tmp_path: Path, lines: tuple[str, ...], key: str, line: int
) -> None:
    found = where(faults(tmp_path, *lines))
    assert found[key] == f"ragops.yaml:{line}"


def test_all_of_them_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, "jobs: 0", "keep: {daily: -1}", "recipients: [nobody]", "ping: {start: x}")
    assert set(found) == {"jobs", "keep.daily", "recipients.0", "ping.start"}


@pytest.mark.parametrize("name", ["key", "secret", "token", "password", "passphrase", "client_kwargs"])
@pytest.mark.parametrize("place", ["repository", "copies"])
def test_secrets_belong_into_a_file_of_their_own(tmp_path: Path, name: str, place: str) -> None:
    value = f"{{url: 's3://x', options: {{{name}: hunter2}}}}"
    found = faults(tmp_path, f"{place}: {value if place == 'repository' else f'[{value}]'}")
    (problem,) = found.values()
    assert "options_file" in problem.message
    assert "hunter2" not in str(problem)


def test_a_secret_key_in_the_place_of_a_recipient_is_not_shown(tmp_path: Path) -> None:
    """Whoever mixes them up must not find the one that opens everything in a log."""
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path, f"recipients: [{SECRET_KEY}]")
    assert SECRET_KEY not in caught.value.message + str(caught.value.problems) + str(caught.value)
    assert "ragops backup keygen" in str(caught.value)


def test_a_variable_overrides_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGOPS__BACKUP__REPOSITORY", "s3://bucket/rag")
    monkeypatch.setenv("RAGOPS__BACKUP__JOBS", "4")
    found = read(tmp_path, "jobs: 2")
    assert (found.repository.url, found.jobs) == ("s3://bucket/rag", 4)
    monkeypatch.setenv("RAGOPS__BACKUP__JOBS", "many")
    assert where(faults(tmp_path, "jobs: 2")) == {"jobs": "$RAGOPS__BACKUP__JOBS"}
