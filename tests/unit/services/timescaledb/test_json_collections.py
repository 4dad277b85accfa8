"""Every fault of collections-config.json is found, named and placed; none hides another."""

from __future__ import annotations

import json

import pytest

from ragops.config import collection_names
from ragops.errors import ExitCode, InvalidInputError, UsageError
from ragops.ingest.documents import kinds
from ragops.resources import templates_dir
from ragops.services.timescaledb.collections.file_columns import BUILT_IN
from ragops.services.timescaledb.collections.file_keys import FileRules, file_rules
from ragops.services.timescaledb.collections.json_file import parse_collections

GOOD = {
    "name": "a",
    "directory": "/d",
    "embeddingModel": "m",
    "chunkSize": 512,
    "chunkOverlap": 50,
    "fileTypes": ["md"],
    "recursive": True,
    "enabled": True,
}


@pytest.fixture
def problems(tmp_path):
    """The problems of a document, text or bytes, as (line, key, message)."""

    def find(content):
        file = tmp_path / "c.json"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        try:
            with parse_collections(file):
                return []
        except InvalidInputError as error:
            assert error.exit_code is ExitCode.USAGE
            assert all(problem.where.startswith(f"{file}:") for problem in error.problems)
            return [(p.where.removeprefix(f"{file}:"), p.key, p.message) for p in error.problems]

    return find


def one(**changes):
    item = {**GOOD, **changes}
    return {"collections": [{key: value for key, value in item.items() if value is not ...}]}


def test_a_good_document_has_none(problems):
    assert problems(one()) == []
    assert problems(one(name="x" * 255, chunkSize=2**31 - 1, chunkOverlap=0, more={"a": [1e300, None]})) == []


WHOLE = "a whole number from 1 to 2147483647"
NAME = collection_names.RULE


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"name": ""}, "name", f'expected {NAME}, found "" (a text)'),
        ({"name": " \t"}, "name", f'expected {NAME}, found " \\t" (a text)'),
        ({"name": "é" * 256}, "name", f"expected {NAME}, found "),
        ({"name": "two words"}, "name", f"expected {NAME}, found "),
        ({"name": "ragops-health"}, "name", f"expected {NAME}, found "),
        ({"name": 7}, "name", f"expected {NAME}, found 7 (a number)"),
        ({"name": None}, "name", f"expected {NAME}, found null"),
        ({"name": ...}, "name", f"expected {NAME}, found nothing"),
        ({"directory": ""}, "directory", "expected a text that is not blank, found"),
        ({"directory": ["/d"]}, "directory", "found a list"),
        ({"directory": ...}, "directory", "here or in defaults, found nothing"),
        ({"embeddingModel": {"a": 1}}, "embeddingModel", "found an object"),
        ({"chunkSize": "512"}, "chunkSize", f'expected {WHOLE}, found "512" (a text)'),
        ({"chunkSize": True}, "chunkSize", f"expected {WHOLE}, found true"),
        ({"chunkSize": 512.0}, "chunkSize", f"expected {WHOLE}, found 512.0 (a number)"),
        ({"chunkSize": 0, "chunkOverlap": 0}, "chunkSize", f"expected {WHOLE}, found 0"),
        ({"chunkSize": 2**31}, "chunkSize", f"expected {WHOLE}, found 2147483648"),
        ({"chunkSize": 10**4000}, "chunkSize", f"expected {WHOLE}, found 1000"),
        ({"chunkOverlap": -1}, "chunkOverlap", "expected a whole number from 0"),
        ({"chunkOverlap": False}, "chunkOverlap", "found false"),
        ({"chunkOverlap": 512}, "chunkOverlap", "expected less than chunkSize, which is 512, found 512"),
        ({"chunkOverlap": 600}, "chunkOverlap", "expected less than chunkSize, which is 512, found 600"),
        ({"fileTypes": "md"}, "fileTypes", 'expected a list of texts that are not blank, found "md" (a text)'),
        ({"fileTypes": ["md", 1]}, "fileTypes", "found a list"),
        ({"fileTypes": ["md", ""]}, "fileTypes", "found a list"),
        ({"recursive": "yes"}, "recursive", 'expected true or false, found "yes" (a text)'),
        ({"recursive": 1}, "recursive", "expected true or false, found 1 (a number)"),
        ({"enabled": 0}, "enabled", "expected true or false, found 0 (a number)"),
        ({"enabled": None}, "enabled", "expected true or false, found null"),
        ({"exclude": "drafts/"}, "exclude", 'expected a list of patterns as in .gitignore, found "drafts/" (a text)'),
        ({"exclude": ["drafts/", "[z-a]"]}, "exclude", "expected a list of patterns as in .gitignore, found a list"),
        ({"exclude": [1]}, "exclude", "found a list"),
        ({"maxFileSize": "many"}, "maxFileSize", "expected a size from 1B to 1GiB, such as 20MiB, found"),
        ({"maxFileSize": "2GiB"}, "maxFileSize", "expected a size from 1B to 1GiB"),
        ({"maxFileSize": 0}, "maxFileSize", "expected a size from 1B to 1GiB"),
        ({"maxFileSize": True}, "maxFileSize", "found true"),
    ],
)
def test_wrong_values(problems, changes, key, message):
    found = problems(one(**changes))
    assert [(line, at) for line, at, _ in found] == [("1", f"collections[0].{key}")]
    assert message in found[0][2]
    assert len(found[0][2]) < 250


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r'"directory": "a\u0000b"', "NUL character"),
        (r'"more": {"x\u0000": 1}', "NUL character"),
        (r'"more": ["\ud800"]', "half of a surrogate pair"),
        ('"more": 1e999', "the number 1e999 is too large"),
        ('"more": -1e999', "the number -1e999 is too large"),
        ('"more": NaN', "NaN is not JSON"),
        ('"more": [Infinity]', "Infinity is not JSON"),
        ('"chunkSize": 1, "chunkSize": 2', 'the key "chunkSize" is there 2 times'),
        ('"more": {"x": 1, "x": 1}', 'the key "x" is there 2 times'),
    ],
)
def test_what_json_allows_but_a_database_does_not(problems, text, message):
    rest = json.dumps({key: value for key, value in GOOD.items() if f'"{key}"' not in text})[1:]
    tail = "" if '"chunkSize"' not in text else ', "chunkOverlap": 0'
    if tail:
        rest = rest.replace('"chunkOverlap": 50, ', "")
    found = problems(f'{{"collections": [\n{{{text}{tail}, {rest}]}}')
    assert [(line, key) for line, key, _ in found] == [("2", "collections[0]")]
    assert message in found[0][2]


def test_a_name_and_a_directory_are_enough(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"collections": [{"name": "docs", "directory": "docs"}]}')
    file_types = '{"' + '","'.join(BUILT_IN["fileTypes"]) + '"}'
    used = "{embedding_model,chunk_size,chunk_overlap,file_types,recursive,enabled}"
    with parse_collections(file) as document:
        cells = document.rows.read().decode().rstrip("\n").split("\t")
    expected = ["docs", "docs", "hashing-384-v1", "512", "50", file_types, "t", "t", "{}", used]
    assert cells[2:] == expected
    with parse_collections(file, {**BUILT_IN, "embeddingModel": "nomic-embed-text"}) as document:
        assert b"\tnomic-embed-text\t512\t" in document.rows.read()


def test_everything_that_can_be_read_is_read_if_no_types_are_named():
    assert BUILT_IN["fileTypes"] == kinds.all_endings()


def test_keys_that_nothing_acts_on_are_counted_and_kept(tmp_path, problems):
    file = tmp_path / "c.json"
    collections = [{**GOOD, "name": name, "excludes": ["x"], "exclude": ["*.log"]} for name in ("a", "b")]
    file.write_text(json.dumps({"collections": collections, "defaults": {"maxFileSize": "1MB", "ignore": 1}, "v": 2}))
    with parse_collections(file) as document:
        assert document.unread == {"excludes": 2, "ignore": 1, "v": 1}
        assert document.rows.read().decode().count('"excludes": ["x"], "exclude": ["*.log"]') == 2
    wrong = problems(json.dumps({"collections": [], "defaults": {"maxFileSize": "huge"}}))
    assert [key for _, key, _ in wrong] == ["defaults.maxFileSize"]


@pytest.mark.parametrize(
    ("extra", "defaults", "expected"),
    [
        ({}, {}, FileRules((), None)),
        ({"exclude": ["a"]}, {"exclude": ["b"], "maxFileSize": "1.5 MiB"}, FileRules(("a",), 3 << 19)),
        ({"maxFileSize": 100}, {"maxFileSize": "1GB"}, FileRules((), 100)),
    ],
)
def test_rules_of_files_are_those_of_the_collection_else_the_defaults(extra, defaults, expected):
    assert file_rules(extra, defaults) == expected


def test_a_value_from_before_its_key_was_known_is_refused_not_ignored():
    with pytest.raises(UsageError, match="cannot use exclude") as caught:
        file_rules({"exclude": "drafts"}, {})
    assert caught.value.code == "collection_key_invalid"


def test_the_sample_of_a_new_project_is_valid():
    with parse_collections(templates_dir() / "collections-config.json") as document:
        assert document.count == 1


def test_an_escaped_backslash_before_u0000_is_no_nul(problems):
    assert problems(one(directory="a\\u0000", more="\\ud800")) == []


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("", "1:1", "expected an object: {, found the end of the file"),
        ("[]", "1:1", "expected an object: {, found '['"),
        ("collections:\n  - a\n", "1:1", "expected an object"),
        ('{"collections": []', "1:19", "expected , or }, found the end of the file"),
        ('{"collections": [\n  {"name": "a",}\n]}', "2:16", "Expecting property name"),
        ('{"collections": [\n  {"name": "a"},\n]}', "3:1", "Expecting value, found ']'"),
        ('{"collections": [{}] "x": 1}', "1:22", "expected , or }, found '\"'"),
        ('{"collections": [{"a": "x\ny"}]}', "1:26", "Invalid control character"),
        ('{"collections": [{"a": "x', "1:24", "Unterminated string"),
        ('{"collections": []}\n{}', "2:1", "expected nothing after the object"),
        ("{'collections': []}", "1:2", "expected a key in double quotes"),
        ('{"collections": [' + "[" * 100_000 + "]}", "1:18", "nested too deeply"),
        ('{"collections": [' + "9" * 5000 + "]}", "1:18", "too many digits"),
        (b'{"collections": [\n{"name": "a\xff"}]}', "2:12", "not UTF-8: byte 0xff"),
        (b'{"collections": []}\xc3', "1:20", "not UTF-8"),
        ('{"collections": []}'.encode("utf-16"), "1:1", "not UTF-8"),
    ],
)
def test_what_is_not_json_in_utf8_has_a_line_and_a_column(problems, content, place, message):
    found = problems(content)
    assert [(line, key) for line, key, _ in found] == [(place, "")]
    assert message in found[0][2]


def test_a_byte_order_mark_is_no_fault(problems):
    assert problems(b"\xef\xbb\xbf" + json.dumps(one()).encode()) == []


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ({}, "collections", "expected a list of collections, found none"),
        ({"collections": {"a": 1}}, "collections", "expected a list, found an object"),
        ({"collections": None}, "collections", "expected a list, found null"),
        ({"collections": [1]}, "collections[0]", "expected an object, found 1 (a number)"),
        ({"collections": [None]}, "collections[0]", "expected an object, found null"),
        ({"collections": [], "defaults": []}, "defaults", "expected an object, found a list"),
        ({"collections": [], "defaults": {"chunkSize": "x"}}, "defaults.chunkSize", f'expected {WHOLE}, found "x"'),
        ({"collections": [], "defaults": {"name": "x"}}, "defaults.name", "expected no name"),
        ('{"collections": [], "collections": []}', "collections", "expected once, found again"),
        ('{"collections": [], "defaults": {}, "defaults": {}}', "defaults", "expected once, found again"),
        ('{"x": 1, "collections": [], "x": 1}', "x", "expected once, found again"),
        ('{"x": "\\u0000", "collections": []}', "x", "NUL character"),
        ('{"defaults": {"a": 1, "a": 1}, "collections": []}', "defaults", 'the key "a" is there 2 times'),
    ],
)
def test_faults_of_the_document_itself(problems, content, key, message):
    found = problems(content)
    assert [(line, at) for line, at, _ in found] == [("1", key)]
    assert message in found[0][2]


def test_every_problem_is_told_at_once_with_its_line(problems):
    text = """{
  "defaults": {
    "chunkSize": 0,
    "chunkOverlap": 700
  },
  "collections": [
    {"name": "a", "directory": "/d", "embeddingModel": "m", "fileTypes": [], "chunkSize": 600},
    {
      "name": "b",
      "directory": 5,
      "fileTypes": [],
      "recursive": "no"
    },
    {"name": "a", "directory": "/d", "embeddingModel": "m", "fileTypes": [], "chunkSize": 800}
  ],
  "defaults": {}
}"""
    text = text.replace(',\n  "defaults": {}\n', "\n")
    assert [(line, key) for line, key, _ in problems(text)] == [
        ("3", "defaults.chunkSize"),
        ("7", "collections[0].chunkOverlap"),
        ("10", "collections[1].directory"),
        ("12", "collections[1].recursive"),
        ("14", "collections[2].name"),
    ]


def test_a_double_name_says_where_the_first_is(problems):
    found = problems({"collections": [GOOD, {**GOOD, "name": "b"}, GOOD]})
    assert found == [
        ("1", "collections[2].name", 'expected a name of its own, found "a" (a text) of collections[0] again')
    ]


def test_names_that_differ_in_case_alone_are_double(problems):
    found = problems({"collections": [GOOD, {**GOOD, "name": "A"}]})
    assert found[0][2].endswith('collections[0] again, spelled "a" (a text): names must differ by more than case')


def test_faults_are_found_across_the_borders_of_what_is_read_at_once(problems):
    many = [{**GOOD, "name": f"n{n}", "more": "ü" * 700} for n in range(3000)]
    many[2500] = {**many[2500], "chunkSize": None}
    text = json.dumps({"collections": many}, ensure_ascii=False, indent=1)
    assert len(text.encode()) > 4_000_000
    line = text[: text.index('"chunkSize": null')].count("\n") + 1
    assert problems(text) == [(str(line), "collections[2500].chunkSize", f"expected {WHOLE}, found null")]


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError) as caught, parse_collections(path):
            pass
        assert caught.value.code == "file_unreadable"
        assert str(path) in caught.value.message


def test_rows_are_what_copy_reads(tmp_path):
    file = tmp_path / "c.json"
    odd = {**GOOD, "directory": "t\tn\nr\rb\\", "fileTypes": ['q"', "b\\", "ü"], "enabled": False, "k": {"x": "\t\\"}}
    file.write_text(json.dumps({"collections": [odd], "defaults": {"url": 1}, "v": 2}))
    with parse_collections(file) as document:
        cells = document.rows.read().decode().removesuffix("\n").split("\t")
        assert (document.count, dict(document.defaults), dict(document.extra)) == (1, {"url": 1}, {"v": 2})
    assert cells == [
        "0", "1", "a", "t\\tn\\nr\\rb\\\\", "m", "512", "50", '{"q\\\\"","b\\\\\\\\","ü"}', "t", "f",
        '{"k": {"x": "\\\\t\\\\\\\\"}}', "{}",
    ]  # fmt: skip
