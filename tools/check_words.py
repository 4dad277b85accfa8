"""Report words that the texts of this project do not use: `python tools/check_words.py [PATH ...]`.

docs/glossary.md has the terms that they use. Migrations are left out: their checksums are recorded in databases.
Exit code 1 if anything was found.
"""

import re
import sys
from pathlib import Path

TEXTS = ("ragops", "ragops_launcher", "stacks", "templates", "images", "docs", "README.md", "CONTRIBUTING.md")
SUFFIXES = {".py", ".md", ".j2", ".yaml", ".yml", ".sql", ".sh", ".lua", ".toml", ""}

# "where" with a condition after it; "where" with a place is fine
_CONDITION = (
    r"there (?:is|are|was|were)|nothing|neither|none|no|it (?:is|was|has|can|cannot|does|dies|fails|would|had)"
    r"|they (?:are|were|can|have|do)|that is|one (?:is|was|has|can)"
)
# pattern → advice
BANNED = {
    r"(?<!-)anew": "again, from scratch",
    r"whoever": "anyone who",
    r"(?<![`\"])nobody(?!\")": "no one, or name the actor",
    r"meanwhile": "at the same time, while …",
    r"cures?": "hint, remedy",
    r"beside": "next to, in addition to",
    r"of (?:its|their) own accord": "by itself",
    r"in words": "as text",
    r"the like": "name the things",
    r"a word (?:about|of|on|for)": "a message, a note",
    r"go(?:es|ing)? on\b(?! (?:the|a) )": "continue",
    r"(?:tells|told|telling)": "report, return, state",
    r"knows?(?= (?:of|how|that|nothing|no|which|what|about|whether)\b)": "has, records, supports",
    r"speaks?": "use a protocol, be a client of",
    r"sa(?:ys|id|ying)": "report, state, show, hold, prove",
    rf"where(?= (?:{_CONDITION})\b)": "if, when, unless",
}
_PATTERN = re.compile("|".join(rf"(?P<w{n}>\b{word}\b)" for n, word in enumerate(BANNED)), re.IGNORECASE)
_ADVICE = list(BANNED.values())


def check(path: Path) -> list[str]:
    """Return one line `FILE:LINE: WORD: ADVICE` for each banned word of a file."""
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        return []
    return [
        f"{path}:{number}: {found.group(0)!r}: {_ADVICE[int(str(found.lastgroup)[1:])]}"
        for number, line in enumerate(lines, 1)
        for found in _PATTERN.finditer(line)
    ]


def files(names: list[str]) -> list[Path]:
    """Return the text files below the given paths."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found += [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return [path for path in found if path.suffix in SUFFIXES and not {"__pycache__", "migrations"} & {*path.parts}]


def main() -> int:
    """Print what was found and return the exit code."""
    lines = [line for path in files(sys.argv[1:] or list(TEXTS)) for line in check(path)]
    print("\n".join(lines) if lines else "words: all plain")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
