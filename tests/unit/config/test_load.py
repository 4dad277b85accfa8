"""ragops.yaml as people write it: every fault at once, with file, line and key."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from ragops.config.load import Project, find_config, load
from ragops.errors import ExitCode, InvalidInputError, Problem, RagopsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """A file that makes the loader hang fails its test, not the whole run."""

    def stop(_number: int, _frame: object) -> None:
        raise TimeoutError("the loader hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def read(folder: Path, text: str | bytes, environment: str | None = None) -> Project:
    config = folder / "ragops.yaml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(config, environment)


def faults(folder: Path, text: str | bytes, environment: str | None = None) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInputError) as caught:
        read(folder, text, environment)
    assert caught.value.code == "invalid_config"
    assert caught.value.exit_code == ExitCode.USAGE
    assert all(str(problem) in caught.value.message for problem in caught.value.problems)
    return caught.value.problems


def keys(problems: tuple[Problem, ...]) -> dict[str, str]:
    return {problem.key: problem.where for problem in problems}


# --- what is right -----------------------------------------------------------------------------------------------


def test_the_smallest_file_gets_all_defaults(tmp_path: Path) -> None:
    project = read(tmp_path, "name: rag\n")
    assert project.settings.ports() == {
        ("redis", "port"): 6379,
        ("timescaledb", "port"): 5432,
        ("qdrant", "port"): 6333,
        ("api", "port"): 8080,
        ("gateway", "port"): 8000,
        ("gateway", "tls_port"): 8443,
    }
    assert project.paths.root == tmp_path
    assert project.paths.environment == "default"


def test_anchors_and_merge_keys_are_plain_yaml(tmp_path: Path) -> None:
    text = "name: rag\nredis: &base {port: 7001}\ntimescaledb:\n  <<: *base\n  port: 7002\n"
    settings = read(tmp_path, text).settings
    assert (settings.redis.port, settings.timescaledb.port) == (7001, 7002)


def test_an_overlay_changes_only_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "ragops.prod.yaml").write_text("redis:\n  port: 7001\n")
    project = read(tmp_path, "name: rag\nredis:\n  port: 7000\n  maxmemory: 1gb\n", "prod")
    assert (project.settings.redis.port, project.settings.redis.maxmemory) == (7001, "1gb")
    assert project.paths.environment == "prod"


def test_an_empty_overlay_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "ragops.prod.yaml").write_text("# nothing yet\n")
    assert read(tmp_path, "name: rag\n", "prod").settings.name == "rag"


def test_variables_win_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGOPS__REDIS__PORT", "7003")
    monkeypatch.setenv("RAGOPS__TIMESCALEDB", "{port: 7004}")
    (tmp_path / "ragops.prod.yaml").write_text("redis: {port: 7002}\n")
    settings = read(tmp_path, "name: rag\nredis: {port: 7001, maxmemory: 1gb}\n", "prod").settings
    assert (settings.redis.port, settings.timescaledb.port) == (7003, 7004)
    assert settings.redis.maxmemory == "1gb"


def test_the_nearest_file_upward_is_taken(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / "ragops.yaml").touch()
    (tmp_path / "a" / "ragops.yaml").touch()
    (inner / "ragops.yaml").mkdir()  # a folder of that name is no file
    assert find_config(inner) == tmp_path / "a" / "ragops.yaml"


def test_no_file_anywhere_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_config(tmp_path)
    assert caught.value.code == "config_not_found"
    assert "ragops init" in caught.value.hint


def test_data_and_recovery_points_stay_relative_to_the_project(tmp_path: Path) -> None:
    project = read(tmp_path, "name: rag\ndata_dir: big\n")
    assert project.paths.data_dir("redis") == tmp_path / "big" / "default" / "redis"


# --- every fault at once -----------------------------------------------------------------------------------------


def test_every_fault_is_reported_with_its_line(tmp_path: Path) -> None:
    text = (
        "name: rag\n"
        "runtime: kubernetes\n"
        "redis:\n"
        "  port: many\n"
        "  port: 7000\n"
        "  maxmemry: 1gb\n"
        "timescaledb:\n"
        "  shared_buffers: 12 apples\n"
        "backup: daily\n"
        "colour: red\n"
    )
    found = keys(faults(tmp_path, text))
    assert found == {
        "runtime": "ragops.yaml:2",
        "redis.port": "ragops.yaml:5",
        "redis.maxmemry": "ragops.yaml:6",
        "timescaledb.shared_buffers": "ragops.yaml:8",
        "backup": "ragops.yaml:9",
        "colour": "ragops.yaml:10",
    }


def test_a_file_and_its_overlay_are_each_named(tmp_path: Path) -> None:
    (tmp_path / "ragops.prod.yaml").write_text("timescaledb:\n  pool: 3\n")
    found = keys(faults(tmp_path, "name: rag\nredis:\n  size: 1\n", "prod"))
    assert found == {"redis.size": "ragops.yaml:3", "timescaledb.pool": "ragops.prod.yaml:2"}


def test_a_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGOPS__REDIS__PORT", "[1")
    monkeypatch.setenv("RAGOPS__REDIS__MAXMEMORY", "lots")
    monkeypatch.setenv("RAGOPS__NO_SUCH", "1")
    found = keys(faults(tmp_path, "name: rag\n"))
    assert found["redis.port"] == "$RAGOPS__REDIS__PORT"
    assert found["redis.maxmemory"] == "$RAGOPS__REDIS__MAXMEMORY"
    assert found["no_such"] == "$RAGOPS__NO_SUCH"


@pytest.mark.parametrize("order", [("RAGOPS__REDIS", "RAGOPS__REDIS__PORT"), ("RAGOPS__REDIS__PORT", "RAGOPS__REDIS")])
def test_variables_that_contradict_one_another_are_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    for name in order:
        monkeypatch.setenv(name, "7000")
    assert any(problem.where.startswith("$RAGOPS__REDIS") for problem in faults(tmp_path, "name: rag\n"))


@pytest.mark.parametrize("name", ["RAGOPS__", "RAGOPS____", "RAGOPS__REDIS__"])
def test_a_variable_without_a_key_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert faults(tmp_path, "name: rag\n")


def test_duplicate_keys_stand_with_the_second_line(tmp_path: Path) -> None:
    found = faults(tmp_path, "name: rag\nredis:\n  port: 7000\nname: other\n")
    assert [(item.where, item.key, item.message) for item in found] == [("ragops.yaml:4", "name", "stands twice")]


def test_two_services_on_one_port_are_both_named(tmp_path: Path) -> None:
    (problem,) = faults(tmp_path, "name: rag\nredis: {port: 7000}\ntimescaledb: {port: 7000}\n")
    assert "redis.port" in problem.message
    assert "timescaledb.port" in problem.message
    assert "7000" in problem.message


def test_a_port_conflict_does_not_wait_for_the_other_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, "name: rag\nredis: {port: 7000, x: 1}\ntimescaledb: {port: 7000}\n")
    assert any("7000" in problem.message for problem in found)
    assert any(problem.key == "redis.x" for problem in found)


@pytest.mark.parametrize(
    "port", ["0", "-1", "80", "1023", "65536", "1e9", "'x'", "7.5", "[7000]", "{a: 1}", "yes", "~"]
)
def test_a_port_out_of_range_or_of_another_type(tmp_path: Path, port: str) -> None:
    assert keys(faults(tmp_path, f"name: rag\nredis:\n  port: {port}\n")) == {"redis.port": "ragops.yaml:3"}


@pytest.mark.parametrize("hours", ["0", "-3", "yes", ".nan", ".inf", "'soon'", "[]"])
def test_an_age_that_is_no_number_of_hours(tmp_path: Path, hours: str) -> None:
    text = f"name: rag\nbackup:\n  max_age_hours: {hours}\n"
    assert keys(faults(tmp_path, text)) == {"backup.max_age_hours": "ragops.yaml:3"}


HOSTILE = [
    "; rm -rf /", "../x", "a/b", "a'b", 'a"b', "$(id)", "`id`", "a b", "a\nb", "rag\n", "naïve", "\uff52ag", "x" * 100,
    "-rag", "9rag", "Rag", "", "a\x00b", "{{ 7 * 7 }}", "a.b", "%s", "\u202egar",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(tmp_path: Path, name: str) -> None:
    import json

    text = f"name: {json.dumps(name)}\n"
    assert keys(faults(tmp_path, text)) == {"name": "ragops.yaml:1"}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_hostile_environments_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "name: rag\n", name)
    assert caught.value.code == "invalid_environment"


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("", "x" * 100)] + ["x; DROP TABLE x"])
def test_hostile_database_names_are_refused(tmp_path: Path, name: str) -> None:
    import json

    if name == "":
        return
    text = f"name: rag\ntimescaledb:\n  database: {json.dumps(name)}\n"
    assert keys(faults(tmp_path, text)) == {"timescaledb.database": "ragops.yaml:3"}


@pytest.mark.parametrize("text", ["data_dir", "run_as", "backup: {repository"])
def test_a_line_break_in_a_path_is_refused(tmp_path: Path, text: str) -> None:
    """It would end a line of the rendered configuration and begin another."""
    end = "}" if "{" in text else ""
    assert faults(tmp_path, f'name: rag\n{text}: "x\\nrequirepass y"{end}\n')


# --- what is no mapping, no YAML, no text --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}", "null"])
def test_an_empty_file_lacks_its_name(tmp_path: Path, text: str) -> None:
    assert any(problem.key == "name" and problem.message == "is missing" for problem in faults(tmp_path, text))


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "42\n", "2020-01-01\n"])
def test_another_top_level_is_a_fault(tmp_path: Path, text: str) -> None:
    assert any("keys and values" in problem.message for problem in faults(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: rag\nredis:\n\tport: 7000\n", "ragops.yaml:3"),
        ("name: rag\nredis: [1\n", "ragops.yaml:"),
        ("name: 'rag\n", "ragops.yaml:"),
        ("name: rag\n  redis: 1\n", "ragops.yaml:2"),
        ("name: rag\n---\nname: two\n", "ragops.yaml:2"),
        ("name: *nowhere\n", "ragops.yaml:1"),
        ("name: !!python/object/apply:os.system [id]\n", "ragops.yaml:1"),
        ("name: rag\n? [a, b]\n: 1\n", "ragops.yaml:2"),
        ("name: rag\n? {a: b}\n: 1\n", "ragops.yaml:2"),
    ],
)
def test_broken_yaml_is_placed(tmp_path: Path, text: str, where: str) -> None:
    (problem,) = faults(tmp_path, text)
    assert problem.where.startswith(where)


def test_control_characters_are_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, b"name: r\x01ag\n")


def test_keys_that_are_no_words_are_unknown(tmp_path: Path) -> None:
    found = faults(tmp_path, "name: rag\n1: x\ntrue: y\nnull: z\nredis:\n  2: x\n")
    assert {problem.where for problem in found} >= {"ragops.yaml:2", "ragops.yaml:3", "ragops.yaml:4", "ragops.yaml:6"}


def test_a_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    (problem,) = faults(tmp_path, "name: café\n".encode("latin-1"))
    assert "not UTF-8" in problem.message
    assert "9" in problem.message


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfname: rag\r\n").settings.name == "rag"


def laughs(levels: int) -> str:
    """Nine to the power of `levels` values in a few hundred bytes."""
    lines = ["name: rag", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("levels", [9, 40])
def test_a_billion_laughs_do_not_hang(tmp_path: Path, levels: int) -> None:
    found = faults(tmp_path, laughs(levels))
    assert found
    assert sum(len(str(problem)) for problem in found) < 10_000


def test_a_bomb_inside_a_known_key_does_not_hang(tmp_path: Path) -> None:
    assert faults(tmp_path, laughs(30).replace("name: rag\n", "") + "name: *a29\nredis: {port: *a29}\n")


def test_an_alias_to_itself_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, "name: rag\nredis: &r\n  port: *r\n")


def test_endless_nesting_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, "name: " + "[" * 20_000)
    assert faults(tmp_path, "name: " + "[" * 20_000 + "]" * 20_000)


# --- files that cannot be read -------------------------------------------------------------------------------------


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "other.yaml", None)
    assert caught.value.code == "config_not_found"
    assert "other.yaml" in caught.value.message


def test_an_overlay_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "name: rag\n", "prod")
    assert "ragops.prod.yaml" in caught.value.message


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    with pytest.raises(RagopsError) as caught:
        load(tmp_path, None)
    assert caught.value.code == "config_unreadable"
