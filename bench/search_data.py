"""Documents and questions for bench/search_quality.py, made from what is installed here: nothing is fetched.

Set `packages`: the documents of the demo, on the installed packages, and labelled questions written by
hand (search_questions.json). Set `known`: package summaries and the one-line descriptions of manual pages as questions,
the texts without those lines as documents. Both are deterministic for one environment and one /usr/share/man.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import sys
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


def _package_texts() -> dict[str, str]:
    """Return the descriptions of packages without the summaries that are asked for."""
    found = {}
    for item in distributions():
        text = item.metadata.get_payload() or item.metadata["Description"] or ""
        if isinstance(text, str) and len(text) > 200:
            found[f"{item.metadata['Name'].lower()}.md"] = text
    return found


def _manuals() -> dict[str, tuple[str, str]]:
    """Return summary and text of manual pages, chosen by the hash of their names."""
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
        if len(found) == _MOST_MANUALS:
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
