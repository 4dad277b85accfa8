"""The process that converts documents: bytes come in, text goes out, one after the other, until its input ends.

It is given no path and opens no connection; memory and processor time are limited, so that a file made to do harm
costs itself only. Whatever libraries print is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.ingest.documents.converted import Converted, UnreadableError, clean
from ragops.ingest.documents.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_LARGEST_INPUT = 1 << 40
_LONGEST_REASON = 300


def main() -> None:
    """Answer one request after the other."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sys.addaudithook(_refuse)
    while True:
        try:
            request, data = read_frame(requests, _LARGEST_INPUT)
        except EOFError:
            return
        head, body = answer(request, data)
        del data
        head["peak"] = _peak()
        write_frame(answers, head, body)


def _refuse(event: str, _arguments: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(1, "a converter neither connects nor starts programs")


def answer(request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Convert `data`; return metadata and the text in UTF-8, or the reason why there is none."""
    try:
        _limit(int(request["memory"]), int(request["processor_seconds"]))
        found = convert(str(request["converter"]), str(request["name"]), data)
        text = found.text.encode("utf-8", "replace")
        if len(text) > int(request["text"]):
            return {"reason": f"it has more than {int(request['text']) >> 20} MiB of text"}, b""
        return {"metadata": dict(found.metadata)}, text
    except UnreadableError as error:
        reason = str(error)
    except MemoryError:
        reason = f"it needs more than {int(request['memory']) >> 20} MiB of memory"
    except RecursionError:
        reason = "its parts are nested too deeply"
    except Exception as error:
        reason = f"damaged: {type(error).__name__}: {error}"
    return {"reason": " ".join(clean(reason).split())[:_LONGEST_REASON]}, b""


def _peak() -> int:
    """Return the most memory that this program has had, in bytes.

    On Linux `ru_maxrss` begins with that of the process that started this one (getrusage(2)); VmHWM does not.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _limit(memory: int, processor_seconds: int) -> None:
    """Set what this process may use from here on; the hard limits stay, so that the next file has its own."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + processor_seconds
    for which, soft in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(which)
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of address space
            resource.setrlimit(which, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def convert(converter: str, name: str, data: bytes) -> Converted:
    """Convert `data` by the converter of that name. Raises UnreadableError, and whatever a library raises."""
    return _CONVERTERS[converter](data, name)


# Libraries are imported at their first use: each takes a good part of a second.
def _plain(data: bytes, _name: str) -> Converted:
    found = _decode(data)
    return Converted(clean(found.text), {"encoding": found.encoding})


def _decode(data: bytes) -> Any:
    from ragops.ingest.documents.decode import decode

    return decode(data)


def _markdown(data: bytes, name: str) -> Converted:
    from ragops.ingest.documents.markup import convert_markdown

    return convert_markdown(_decode(data).text, is_mdx=name.casefold().endswith(".mdx"))


def _rst(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.markup import convert_rst

    return convert_rst(_decode(data).text)


def _html(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.html import convert_html, decode_html

    return convert_html(decode_html(data))


def _pdf(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.pdf import convert_pdf

    return convert_pdf(data)


def _word(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.office import convert_word

    return convert_word(data)


def _slides(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.office import convert_slides

    return convert_slides(data)


def _sheets(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.office import convert_sheets

    return convert_sheets(data)


def _csv(data: bytes, name: str) -> Converted:
    from ragops.ingest.documents.data import convert_csv

    return convert_csv(clean(_decode(data).text), is_tab=name.casefold().endswith(".tsv"))


def _json(data: bytes, name: str) -> Converted:
    from ragops.ingest.documents.data import convert_json

    return convert_json(_decode(data).text, name)


def _mail(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.mail import convert_mail

    return convert_mail(data)


def _mailbox(data: bytes, _name: str) -> Converted:
    from ragops.ingest.documents.mail import convert_mailbox

    return convert_mailbox(data)


_CONVERTERS: dict[str, Callable[[bytes, str], Converted]] = {
    "plain": _plain, "markdown": _markdown, "rst": _rst, "html": _html, "pdf": _pdf, "word": _word,
    "slides": _slides, "sheets": _sheets, "csv": _csv, "json": _json, "mail": _mail, "mailbox": _mailbox,
}  # fmt: skip

if __name__ == "__main__":
    main()
