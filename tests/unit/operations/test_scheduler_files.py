"""The nightly run as text: crontabs of other people, odd paths, units that systemd reads."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ragops.errors import RagopsError, UsageError
from ragops.operations.schedule import scheduler_files as texts
from ragops.operations.schedule.scheduler_files import Schedule

PLAIN = Schedule("rag", "default", Path("/srv/rag/ragops.yaml"), "/opt/ragops/bin/python")
ODD = replace(PLAIN, config=Path('/srv/it\'s 100% "odd" $HOME ü/ragops.yaml'), python="/opt/my %tools/python")
NAME = texts.format_schedule_mark(PLAIN.environment, PLAIN.config)

OTHERS = [
    "",
    "MAILTO=me@example.org\n0 5 * * 1 tar czf /var/backups/home.tgz /home\n",
    "# a comment\n\n\n*/5 * * * * date +\\%s\n",
    "0 5 * * 1 one\r\n0 6 * * 1 two\r\n",
    "0 1 * * * caf\udce9\n",  # Latin-1: no UTF-8, and not ours to mend
    "# BEGIN somebody else\n0 1 * * * theirs\n# END somebody else\n",
    "0 1 * * * page\x0cbreak\x85and\u2028line\n",  # line breaks for Python, letters for cron
]


def commands(block: str) -> list[list[str]]:
    """What /bin/sh is given by cron, as words."""
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    return [shlex.split(line.split(" ", 5)[5].replace("\\%", "%")) for line in lines]


# --- the command and its time --------------------------------------------------------------------------------------


def test_the_block_is_short_and_says_whose_it_is():
    assert texts.render_cron_block(PLAIN) == (
        "# BEGIN ragops backup schedule: default /srv/rag/ragops.yaml\n"
        "0 2 * * * /opt/ragops/bin/python -P -m ragops --config /srv/rag/ragops.yaml --env default --quiet"
        " backup scheduled\n"
        "# END ragops backup schedule: default /srv/rag/ragops.yaml\n"
    )


def test_odd_paths_reach_the_program_as_they_are():
    (words,) = commands(texts.render_cron_block(ODD))
    assert words[:4] == [ODD.python, "-P", "-m", "ragops"]
    assert words[4:6] == ["--config", str(ODD.config)]
    assert words[6:] == ["--env", "default", "--quiet", "backup", "scheduled"]


def test_cron_ends_no_command_at_a_percent_sign():
    (line,) = [line for line in texts.render_cron_block(ODD).splitlines() if not line.startswith("#")]
    assert line.count("%") == line.count("\\%") == 2


@pytest.mark.parametrize(("at", "expected"), [("00:00", "0 0"), ("2:05", "5 2"), ("02:00", "0 2"), ("23:59", "59 23")])
def test_the_time_of_day(at: str, expected: str):
    block = texts.render_cron_block(replace(PLAIN, minute=texts.parse_time(at)))
    assert block.splitlines()[1].startswith(f"{expected} * * * /opt")


@pytest.mark.parametrize("text", ["", "2", "24:00", "12:60", "12:5", "12:00:00", "-1:00", "noon", "1٢:00", "02:00\n"])
def test_what_is_no_time_of_day(text: str):
    with pytest.raises(UsageError) as caught:
        texts.parse_time(text)
    assert caught.value.code == "invalid_time"


@pytest.mark.parametrize(
    ("at", "day", "expected"),
    [("02:00", "sunday", "0 4 * * 0"), ("22:30", "Sat", "30 0 * * 0"), ("21:59", "monday", "59 23 * * 1")],
)
def test_the_drill_comes_after_that_days_run(at: str, day: str, expected: str):
    wanted = replace(PLAIN, minute=texts.parse_time(at), drill=texts.parse_weekday(day))
    block = texts.render_cron_block(wanted)
    assert block.splitlines()[2].startswith(f"{expected} /opt")
    assert commands(block)[1][-3:] == ["backup", "drill", "latest"]


def test_weekdays():
    assert texts.parse_weekday("none") is None
    with pytest.raises(UsageError, match="is not a weekday"):
        texts.parse_weekday("someday")


@pytest.mark.parametrize(
    ("path", "letter"), [("/srv/a\nb", "\\n"), ("/srv/a\rb", "\\r"), ("/srv/\udce9", "\\udce9"), ("/srv/a\\b", "\\\\")]
)
def test_paths_that_cron_cannot_be_given_are_refused(path: str, letter: str):
    with pytest.raises(UsageError) as caught:
        texts.render_cron_block(replace(PLAIN, config=Path(path) / "ragops.yaml"))
    assert caught.value.code == "path_not_schedulable"
    assert letter in caught.value.message


# --- a crontab that is also other people's --------------------------------------------------------------------------


@pytest.mark.parametrize("before", OTHERS)
@pytest.mark.parametrize("schedule", [PLAIN, ODD, replace(PLAIN, drill=3)])
def test_what_was_put_in_comes_out_again_and_nothing_else(before: str, schedule: Schedule):
    block = texts.render_cron_block(schedule)
    name = texts.format_schedule_mark(schedule.environment, schedule.config)
    after = texts.insert_block(before, block)
    assert after == before + block
    assert texts.find_block(after, name) == block
    assert texts.remove_block(after, name) == before


@pytest.mark.parametrize("before", OTHERS)
@pytest.mark.parametrize("behind", OTHERS)
def test_installing_again_replaces_the_block_where_it_is(before: str, behind: str):
    old, new = texts.render_cron_block(replace(PLAIN, drill=1)), texts.render_cron_block(replace(PLAIN, minute=61))
    assert texts.insert_block(before + old + behind, new) == before + new + behind
    assert texts.insert_block(before + new + behind, new) == before + new + behind


def test_a_last_line_that_does_not_end_gets_its_end():
    block = texts.render_cron_block(PLAIN)
    assert texts.insert_block("0 1 * * * last", block) == f"0 1 * * * last\n{block}"
    assert texts.remove_block(f"0 1 * * * last\n{block}".rstrip("\n"), NAME) == "0 1 * * * last\n"


def test_a_block_whose_lines_were_given_other_ends_is_still_ours():
    block = texts.render_cron_block(PLAIN).replace("\n", "\r\n")
    assert texts.remove_block(f"0 1 * * * x\r\n{block}0 2 * * * y\r\n", NAME) == "0 1 * * * x\r\n0 2 * * * y\r\n"


def test_a_block_that_was_copied_is_there_once_afterwards():
    block = texts.render_cron_block(PLAIN)
    assert texts.insert_block(f"{block}0 1 * * * x\n{block}0 2 * * * y\n{block}", block) == (
        f"{block}0 1 * * * x\n0 2 * * * y\n"
    )


def test_projects_and_environments_lie_side_by_side():
    wanted = [
        PLAIN,
        replace(PLAIN, environment="staging"),
        replace(PLAIN, config=Path("/srv/rag/ragops.yaml2")),
        replace(PLAIN, config=Path("/srv/rag 2/ragops.yaml")),
    ]
    blocks = [texts.render_cron_block(schedule) for schedule in wanted]
    crontab = "0 1 * * * theirs\n"
    for block in blocks:
        crontab = texts.insert_block(crontab, block)
    assert crontab == "0 1 * * * theirs\n" + "".join(blocks)
    for schedule, block in zip(wanted, blocks, strict=True):
        rest = texts.remove_block(crontab, texts.format_schedule_mark(schedule.environment, schedule.config))
        assert rest == crontab.replace(block, "")


@pytest.mark.parametrize("lost", [0, 2])
def test_half_a_block_is_not_guessed_at(lost: int):
    lines = texts.render_cron_block(PLAIN).splitlines(keepends=True)
    del lines[lost]
    crontab = f"{''.join(lines)}0 1 * * * theirs\n"
    for attempt in (
        lambda: texts.insert_block(crontab, texts.render_cron_block(PLAIN)),
        lambda: texts.remove_block(crontab, NAME),
        lambda: texts.remove_block(f"{crontab}{''.join(lines)}", NAME),
    ):
        with pytest.raises(RagopsError) as caught:
            attempt()
        assert caught.value.code == "crontab_damaged"


# --- systemd ---------------------------------------------------------------------------------------------------------


def test_units_have_names_of_their_own():
    names = [*texts.render_units(replace(PLAIN, environment="live", drill=0), system=True)]
    assert names == [
        "ragops-rag-live.service",
        "ragops-rag-live.timer",
        "ragops-rag-live-drill.service",
        "ragops-rag-live-drill.timer",
    ]


def test_the_timer_makes_up_for_a_night_that_was_missed():
    service, timer = texts.render_units(PLAIN, system=False).values()
    assert {"OnCalendar=*-*-* 02:00:00", "Persistent=true", "WantedBy=timers.target"} <= set(timer.splitlines())
    assert "network-online" not in service, "a user's systemd has no such unit"
    assert "network-online" in next(iter(texts.render_units(PLAIN, system=True).values()))


def test_the_drill_has_its_weekday():
    timer = [*texts.render_units(replace(PLAIN, minute=23 * 60, drill=6), system=True).values()][3]
    assert "OnCalendar=Sun *-*-* 01:00:00" in timer.splitlines()


def test_words_are_quoted_as_systemd_reads_them():
    line = next(
        line
        for line in next(iter(texts.render_units(ODD, system=True).values())).splitlines()
        if line.startswith("ExecStart=")
    )
    assert line == (
        'ExecStart="/opt/my %%tools/python" "-P" "-m" "ragops" "--config"'
        ' "/srv/it\'s 100%% \\"odd\\" $$HOME ü/ragops.yaml" "--env" "default" "--quiet" "backup" "scheduled"'
    )


@pytest.mark.parametrize(
    "python", ["/opt/$x/python", "/opt/a\nb/python", "/opt/it's/python", '/opt/"/python', "/opt/\\/python"]
)
def test_programs_that_systemd_cannot_be_given_are_refused(python: str):
    with pytest.raises(UsageError, match="for systemd: it contains"):
        texts.render_units(replace(PLAIN, python=python), system=True)


def test_only_units_with_our_mark_are_ours():
    mine = texts.render_units(PLAIN, system=True)
    other = replace(PLAIN, config=Path("/srv/rag2/ragops.yaml"), name="rag2")
    theirs = texts.render_units(other, system=True)
    assert (
        texts.select_owned({**mine, **theirs, "ragops-x.timer": "", "ragops-y.timer": f"#\n# {NAME}\n"}, NAME) == mine
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("odd", [True, False])
def test_systemd_finds_no_fault_in_them(tmp_path: Path, system: bool, odd: bool):
    program = tmp_path / ("100% odd ü" if odd else "plain") / "python"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = texts.render_units(replace(ODD if odd else PLAIN, python=str(program), drill=2), system=system)
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    for name in units:
        done = verify(tmp_path / name)
        assert (done.returncode, name in done.stderr) == (0, False), done.stderr
    broken = tmp_path / [*units][1]
    broken.write_text(units[broken.name].replace("*-*-* 02:00:00", "some time"))
    assert broken.name in verify(broken).stderr, "or it verifies nothing"


def verify(path: Path) -> subprocess.CompletedProcess[str]:
    """By this machine's systemd, whose own units may have faults of their own."""
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_reads_the_times_as_they_are_meant():
    for expression in ("*-*-* 02:00:00", "Sun *-*-* 01:00:00"):
        done = subprocess.run(
            ["systemd-analyze", "calendar", expression], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"Normalized form: {expression}" in done.stdout


# --- the next run ----------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, 0).astimezone()


@pytest.mark.parametrize(("at", "day"), [("02:00", 2), ("12:00", 2), ("12:01", 1), ("23:59", 1)])
def test_the_next_run_is_read_from_what_is_installed(at: str, day: int):
    schedule = replace(PLAIN, minute=texts.parse_time(at), drill=0)
    expected = datetime(2026, 3, day, *divmod(schedule.minute, 60)).astimezone()
    assert texts.find_next_run(texts.render_cron_block(schedule), NOON) == expected
    text = "".join(texts.render_units(schedule, system=True).values())
    assert texts.find_next_run(text, NOON) == expected
    assert expected - NOON < timedelta(days=1, seconds=1)


def test_a_time_that_was_changed_by_hand_is_not_guessed_at():
    block = texts.render_cron_block(PLAIN)
    for line in ("*/5 * * * *", "0 2 * * 1", "0 25 * * *"):
        assert texts.find_next_run(block.replace("0 2 * * *", line), NOON) is None
