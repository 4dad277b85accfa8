"""E-mail: the headers that people read, the text, the names of attachments."""

from __future__ import annotations

import email
import email.policy
import re
from typing import TYPE_CHECKING

from ragops.ingest.documents.converted import Converted, Text, UnreadableError, metadata
from ragops.ingest.documents.decode import decode

if TYPE_CHECKING:
    from email.message import EmailMessage

_HEADERS = ("From", "To", "Cc", "Date")
_MOST_PARTS, _MOST_MESSAGES = 500, 100_000
_NEXT = re.compile(rb"^From .*\r?\n", re.MULTILINE)
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def convert_mail(data: bytes) -> Converted:
    """One message: subject as heading, headers, text (HTML's if it has no other)."""
    message = _parse(data)
    if data.strip() and not any(message[name] for name in ("From", "Subject", "To", "Date", "Message-ID")):
        raise UnreadableError("not an e-mail: it has no headers")
    out = Text()
    _add(out, message)
    values = [(name.lower(), _header(message, name)) for name in _HEADERS]
    return Converted(out.result(), metadata([("title", _header(message, "Subject")), *values]))


def convert_mailbox(data: bytes) -> Converted:
    """All messages of a mailbox (mbox) in their order."""
    if not data.strip():
        return Converted("")
    starts = [found.end() for found in _NEXT.finditer(data)]
    if not starts or not data.startswith(b"From "):
        raise UnreadableError("not a mailbox: it does not begin with `From `")
    ends = [*(found.start() for found in _NEXT.finditer(data)), len(data)][1:]
    out = Text()
    for start, end in list(zip(starts, ends, strict=True))[:_MOST_MESSAGES]:
        _add(out, _parse(_QUOTED_FROM.sub(rb"\1", data[start:end])))
    return Converted(out.result())


def _parse(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message[name] or "").split())
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):  # headers that the parser cannot take
        return ""


def _add(out: Text, message: EmailMessage) -> None:
    out.heading(1, _header(message, "Subject") or "(no subject)")
    out.add("\n".join(f"{name}: {text}" for name in _HEADERS if (text := _header(message, name))))
    texts, pages, names = _parts(message)
    for text in texts:
        out.add("\n" + text)
    if pages and not any(text.strip() for text in texts):
        from ragops.ingest.documents.html import convert_html

        for page in pages:
            out.add("\n" + convert_html(page).text)
    if names:
        out.add("\nAttachments: " + ", ".join(names))


def _parts(message: EmailMessage) -> tuple[list[str], list[str], list[str]]:
    texts: list[str] = []
    pages: list[str] = []
    names: list[str] = []
    for count, part in enumerate(message.walk()):
        if count > _MOST_PARTS:
            raise UnreadableError(f"it has more than {_MOST_PARTS} parts")
        kind = part.get_content_type()
        if part.is_multipart():
            continue
        if name := _file_name(part):
            names.append(" ".join(name.split()))
        elif kind in ("text/plain", "text/html"):
            payload = part.get_payload(decode=True)
            content = decode(payload, _charset(part)).text if isinstance(payload, bytes) else str(payload or "")
            (texts if kind == "text/plain" else pages).append(content)
    return texts, pages, names


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        return "(unreadable name)"


def _charset(part: EmailMessage) -> str:
    try:
        return part.get_content_charset() or ""
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        return ""
