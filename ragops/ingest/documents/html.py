"""HTML pages: their main content as Markdown, without menus, headers and footers."""

from __future__ import annotations

import re

import lxml.html
import trafilatura
from lxml import etree

from ragops.ingest.documents.converted import Converted, Text, UnreadableError, clean, metadata
from ragops.ingest.documents.decode import decode

_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_XML = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DECLARED_AT = 4096
# Less than this of the page's text is no main content but a part of it: of a page of reference, a form, a list.
_LEAST_SHARE = 0.5
# libxml2 leaves out what is deeper, without a word; its own limit is 256.
_DEEPEST = 2000
# Larger ones are manuals on one page: the search for the main content takes minutes, and all of it is content.
_LARGEST_PAGE = 2 << 20
_DROPPED = ("script", "style", "noscript", "template", "svg", "nav", "header", "footer", "aside", "form", "button")
_BLOCKS = {
    "p", "div", "section", "article", "li", "dt", "dd", "tr", "table", "ul", "ol", "dl", "pre", "blockquote", "br",
    "figcaption", "main", "body", "details", "summary", "hr",
}  # fmt: skip
_BLANK = re.compile(r"\n\s*\n\s*")


def decode_html(data: bytes) -> str:
    """Return the text of a page in the encoding that it declares itself."""
    found = _DECLARED.search(data[:_DECLARED_AT])
    return decode(data, found[1].decode() if found else "").text


def convert_html(text: str) -> Converted:
    """Return the main content, or all of the body if hardly anything is taken for that, with the page's title."""
    text = _XML.sub("", clean(text))
    tree = _parse(text)
    if tree is None:
        return Converted("")
    title = " ".join((tree.findtext(".//title") or "").split())
    described = tree.xpath("string(.//meta[@name='description']/@content)")
    language = tree.get("lang") or ""
    whole = _body(tree)
    main = None
    if len(text) <= _LARGEST_PAGE:
        main = trafilatura.extract(
            tree, output_format="markdown", include_comments=False, include_tables=True, favor_recall=True
        )
    chosen = main if main and len(main) >= len(whole) * _LEAST_SHARE else whole
    if title and not re.search(r"^# ", chosen, re.MULTILINE):
        chosen = f"# {title}\n\n{chosen}"
    chosen = re.sub(r"[ \t]+$", "", chosen, flags=re.MULTILINE)
    return Converted(chosen, metadata([("title", title), ("description", described), ("language", language)]))


def _parse(text: str) -> lxml.html.HtmlElement | None:
    parser = lxml.html.HTMLParser(huge_tree=True, no_network=True, remove_comments=True, remove_pis=True)
    try:
        tree = lxml.html.document_fromstring(text, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError) as error:
        if not text.strip() or "empty" in str(error).lower():
            return None
        raise UnreadableError(f"not HTML: {error}") from error
    if _depth(tree) > _DEEPEST:
        raise UnreadableError(f"its elements are nested more than {_DEEPEST} deep")
    return tree


def _depth(tree: lxml.html.HtmlElement) -> int:
    depth = deepest = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
        if deepest > _DEEPEST:
            break
    return deepest


def _body(tree: lxml.html.HtmlElement) -> str:
    """Return all text of the page but what frames it, with its headings."""
    out: list[str] = []
    skipping = 0
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        if element.tag in _DROPPED or element.tag == "head":
            skipping += 1 if event == "start" else -1
        elif not skipping:
            out.append(_text_at(event, element))
        if event == "end" and not skipping:
            out.append(element.tail or "")
    text = _BLANK.sub("\n\n", "".join(out)).strip()
    limited = Text()
    limited.add(text)
    return limited.result()


def _text_at(event: str, element: lxml.html.HtmlElement) -> str:
    tag = str(element.tag)
    is_heading = len(tag) == 2 and tag[0] == "h" and tag[1] in "123456"
    if event == "end":
        return "\n\n" if is_heading else "\n" if tag in _BLOCKS else " " if tag in ("td", "th") else ""
    mark = f"\n\n{'#' * int(tag[1])} " if is_heading else "\n" if tag in _BLOCKS else ""
    bullet = "- " if tag == "li" else ""
    text = element.text or ""
    return mark + bullet + (text if tag == "pre" else re.sub(r"\s+", " ", text))
