"""The API's own reference: the OpenAPI document of what the gateway routes, and a page of it without any script.

The page is one file, so that it can be saved with a token on the command line and read in a browser, which sends none.
"""

from __future__ import annotations

import json
import shlex
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

PATH = "/api/v1/docs"
# Behind these tags is what the gateway has no route to.
_INNER_TAGS = {"internal", "operations"}
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f5f5f5;padding:.75rem;overflow-x:auto}table{border-collapse:collapse}td,th{text-align:left;
padding:.2rem 1rem .2rem 0;vertical-align:top}.method{color:#0a5;font-weight:600}.old{color:#a50}
"""

router = APIRouter(include_in_schema=False)
page = partial(escape, quote=True)


@router.get("/api/v1/openapi.json", name="openapi")
async def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document of all that is reached through the gateway."""
    return JSONResponse(public_document(request.app.openapi()), headers={"Cache-Control": "no-store"})


@router.get(PATH, name="reference")
async def reference(request: Request) -> HTMLResponse:
    """Return the same as a page."""
    return HTMLResponse(render(public_document(request.app.openapi())), headers=_HEADERS)


@router.get("/docs", name="docs")
async def docs() -> RedirectResponse:
    """Where the page is looked for by habit."""
    return RedirectResponse(PATH)


def public_document(document: Json) -> Json:
    """Return the document without the operations that only services and operators reach."""
    paths: Json = {}
    for path, item in document["paths"].items():
        kept = {method: found for method, found in item.items() if not _INNER_TAGS & set(found.get("tags", ()))}
        if kept:
            paths[path] = kept
    return {**document, "paths": paths}


def render(document: Json) -> str:
    """One HTML page with every operation of `document`: parameters, an example of asking, and of each answer."""
    title = page(document["info"]["title"])
    body = "\n".join(
        section for path, item in document["paths"].items() for section in _operations(document, path, item)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title} {page(document['info']['version'])}</h1>"
        f"<p>{page(document['info']['description'])}</p>"
        "<p>Every request carries a token in its header: <code>Authorization: Bearer TOKEN</code>. "
        "<code>ragops token issue NAME</code> makes one. In the examples, <code>$RAGOPS_URL</code> is the address of "
        f"the gateway and <code>$RAGOPS_TOKEN</code> the token.</p>\n{body}</body></html>\n"
    )


def _operations(document: Json, path: str, item: Json) -> Iterator[str]:
    for method, operation in item.items():
        old = ' <span class="old">deprecated</span>' if operation.get("deprecated") else ""
        yield (
            f'<h2><span class="method">{page(method.upper())}</span> <code>{page(path)}</code>{old}</h2>'
            f"<p><b>{page(operation.get('summary', ''))}</b>. {page(operation.get('description', ''))}</p>"
            f"{_parameters(operation)}<pre>{page(_curl(document, method, path, operation))}</pre>"
            f"{''.join(_answers(document, operation))}"
        )


def _parameters(operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{page(found['name'])}</code></td><td>{'required' if found.get('required') else 'optional'}</td>"
        f"<td>{page(found.get('description', ''))}</td></tr>"
        for found in operation.get("parameters", ())
    )
    return f"<table>{rows}</table>" if rows else ""


def _curl(document: Json, method: str, path: str, operation: Json) -> str:
    words = ["curl", "-H", '"Authorization: Bearer $RAGOPS_TOKEN"']
    if method not in ("get", "post"):
        words += ["-X", method.upper()]
    query = [found for found in operation.get("parameters", ()) if found.get("required") and found["in"] == "query"]
    if query:
        words += ["-G", *(f"--data-urlencode {shlex.quote(_parameter(found))}" for found in query)]
    if body := _example(document, operation.get("requestBody", {})):
        words += ["--json", shlex.quote(json.dumps(body))]
    return " ".join([*words, f'"$RAGOPS_URL{path}"'])


def _parameter(found: Json) -> str:
    examples = [found.get("example"), *found.get("schema", {}).get("examples", ())]
    return f"{found['name']}={next((value for value in examples if value is not None), 'VALUE')}"


def _answers(document: Json, operation: Json) -> Iterator[str]:
    for status, answer in operation.get("responses", {}).items():
        example = _example(document, answer) if status.startswith("2") else None
        shown = f"<pre>{page(json.dumps(example, indent=2, ensure_ascii=False))}</pre>" if example else ""
        yield f"<p><code>{page(status)}</code> {page(answer.get('description', ''))}</p>{shown}"


def _example(document: Json, message: Json) -> Any:
    """Return the first example of a body, from its schema, or composed of those of its properties."""
    content: Json = next(iter(message.get("content", {}).values()), {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, {})
    if examples := schema.get("examples"):
        return examples[0]
    parts = {key: found["examples"][0] for key, found in schema.get("properties", {}).items() if "examples" in found}
    return content.get("example", parts or None)
