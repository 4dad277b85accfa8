"""Documents and questions for bench/search_quality.py, made from what is installed here: nothing is fetched.

Set `packages`: the documents of the demo, on the installed packages, and labelled questions written by
hand (search_questions.json). Set `known`: package summaries and the one-line descriptions of manual pages as questions,
the texts without those lines as documents. Parameters are chosen by two others, `tuning`: the remaining manual pages, and
the modules of Python's library with the first lines of their documentation. All are deterministic for one environment
and one /usr/share/man.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import random
import re
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import demo

_MANUALS = Path("/usr/share/man")
_SECTIONS = ("man1", "man5", "man7", "man8")
# Folders of hundreds of pages with the same text: what is asked for could not be told apart.
_GENERATED = ("gcloud", "aws", "az-", "docker", "llvm", "clang", "perl", "zipcloak", "kubectl")
_MOST_MANUALS = 260
_LEAST_CHARACTERS, _MOST_CHARACTERS = 1_500, 40_000
GIBBERISH = 50


@dataclass(frozen=True)
class Question:
    """A question and the documents that answer it."""

    text: str
    answers: frozenset[str]

    @property
    def is_held_out(self) -> bool:
        """Whether it is in the half, chosen by the hash of its text, that no choice is to be made by."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 1


@dataclass(frozen=True)
class Set:
    """Documents by name, and questions to them."""

    name: str
    documents: dict[str, str]
    questions: tuple[Question, ...]


def packages() -> Set:
    """Return the first set: questions whose packages are not installed are left out."""
    documents = demo.descriptions()
    written = json.loads(Path(__file__).with_name("search_questions.json").read_text())
    questions = []
    for text, names in written:
        answers = frozenset(f"{name}.md" for name in names) & documents.keys()
        if answers:
            questions.append(Question(text, answers))
    return Set("packages", documents, tuple(questions))


def known() -> Set:
    """Return the second set: each question has the one document that it describes."""
    documents, questions = {}, []
    texts = _package_texts()
    for item in sorted(distributions(), key=lambda one: one.metadata["Name"].lower()):
        name, summary = f"{item.metadata['Name'].lower()}.md", item.metadata["Summary"] or ""
        if name in texts and len(summary.split()) > 2 and name not in documents:
            documents[name] = texts[name]
            questions.append(Question(summary, frozenset({name})))
    for name, (summary, text) in _manuals().items():
        documents[name] = text
        questions.append(Question(summary, frozenset({name})))
    return Set("known items", documents, tuple(questions))


def tuning() -> tuple[Set, Set]:
    """Return the sets that parameters are chosen by: they share no document with the others."""
    shown = _manuals()
    rest = {name: found for name, found in _manuals(sys.maxsize).items() if name not in shown}
    return _described("other manuals", rest), _described("modules", _modules())


def _described(name: str, items: dict[str, tuple[str, str]]) -> Set:
    questions = tuple(Question(summary, frozenset({document})) for document, (summary, _) in items.items())
    return Set(name, {document: text for document, (_, text) in items.items()}, questions)


def _modules() -> dict[str, tuple[str, str]]:
    """Return the first line of each module's documentation, and the rest with that of its functions and classes."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = {}
    for path in sorted([*root.glob("*.py"), *root.glob("*/*.py")]):
        if {"test", "site-packages", "dist-packages", "idlelib", "lib2to3", "encodings"} & {*path.parts}:
            continue
        tree = ast.parse(path.read_bytes())
        summary, _, rest = (ast.get_docstring(tree) or "").partition("\n")
        summary = re.sub(r"^\S+\s*(--|-|:)\s*", "", summary).strip()
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        parts = [f"{node.name}: {text}" for node in nodes if (text := ast.get_docstring(node))]
        text = "\n\n".join([rest, *parts])[:_MOST_CHARACTERS]
        if 3 <= len(summary.split()) <= 30 and len(text) >= _LEAST_CHARACTERS // 2:
            found[str(path.relative_to(root)).replace("/__init__", "")] = (summary, text)
    return found


def _package_texts() -> dict[str, str]:
    """Return the descriptions of packages without the summaries that are asked for."""
    found = {}
    for item in distributions():
        text = item.metadata["Description"] or ""
        if isinstance(text, str) and len(text) > 200:
            found[f"{item.metadata['Name'].lower()}.md"] = text
    return found


def _manuals(most: int = _MOST_MANUALS) -> dict[str, tuple[str, str]]:
    """Return summary and text of at most so many manual pages, chosen by the hash of their names."""
    paths = sorted(path for section in _SECTIONS for path in _MANUALS.glob(f"{section}/*.gz"))
    plain = [path for path in paths if not path.is_symlink() and not path.name.startswith(_GENERATED)]
    plain.sort(key=lambda path: hashlib.sha256(path.name.encode()).digest())
    found: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    for path in plain:
        read = _read_manual(path)
        if read is None or read[0].lower() in seen:
            continue
        seen.add(read[0].lower())
        found[f"{path.name.removesuffix('.gz')}.txt"] = read
        if len(found) == most:
            break
    return found


def _read_manual(path: Path) -> tuple[str, str] | None:
    """Return the description in the section NAME and the text of all others; None if it is not of use."""
    try:
        source = gzip.decompress(path.read_bytes()).decode(errors="replace")
    except OSError:
        return None
    sections = re.split(r"(?m)^\.S[Hh]\s+", source)
    names = [section for section in sections if section.strip('"').upper().startswith("NAME")]
    if not names:
        return None
    title = " ".join(_plain(names[0]).split()[1:])
    _, found, summary = title.partition(" - ")
    text = "\n\n".join(_plain(section) for section in sections[1:] if section is not names[0])
    is_right = found and 3 <= len(summary.split()) <= 30 and _LEAST_CHARACTERS <= len(text) <= _MOST_CHARACTERS
    return (summary, text) if is_right else None


def _plain(source: str) -> str:
    """Return roff as plain text, near enough to be searched."""
    source = re.sub(r'(?m)^[.\']\\?".*$', "", source)
    source = re.sub(r"(?m)^\.(?:Nd)\s+", "- ", source)
    source = re.sub(r"(?m)^\.(?:PP|P|Pp|LP|TP|IP|sp|It|Sp)\b.*$", "\n", source)
    source = re.sub(r"(?m)^\.(?:[BIR]{1,2}|SB|SM|Nm|Fl|Ar|Xr|Cm|Pa|Sy|Em|Dq|Sq|Li|Ic|SS|Ss|Op|Dv|Ev)\s+", "", source)
    source = re.sub(r"(?m)^[.'].*$", "", source)
    source = re.sub(r"\\f(?:\[\w*\]|\(..|.)|\\s[-+]?\d|\\[&,/|^]|\\m\[\w*\]", "", source)
    source = source.replace("\\-", "-").replace("\\(aq", "'").replace("\\(en", "-").replace("\\(em", "-")
    source = re.sub(r"\\\((?:..)|\\\[\w+\]|\\\*\(..|\\\*\[\w+\]|\\\*.", " ", source)
    return re.sub(r"\n{3,}", "\n\n", source.replace("\\e", "\\").replace("\\ ", " ").replace("\\", ""))


# --- questions without an answer --------------------------------------------------------------------------------------


def gibberish() -> list[str]:
    """Return questions that no text answers: syllables, struck keys, and both in the frame of a question."""
    chance = random.Random(20261128)
    frames = (
        "{} {} {}", "{} {} {} {} {}", "How do I {} the {}?", "What is a {} {}?", "where is my {} {} {}",
        "Why does {} not {} with {}?", "{}", "can you {} {} for me", "{} and {} or {}", "the {} of {}",
    )  # fmt: skip
    makers = (_syllables, _keys)
    found = []
    for number in range(GIBBERISH):
        frame = frames[number % len(frames)]
        found.append(frame.format(*(makers[number // 5 % 2](chance) for _ in range(frame.count("{}")))))
    return found


def _syllables(chance: random.Random) -> str:
    count = chance.randint(2, 4)
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(count)) + chance.choice(
        "xqzk"
    )


def _keys(chance: random.Random) -> str:
    return "".join(chance.choice("asdfghjklqwertyzxcvb") for _ in range(chance.randint(5, 12)))
