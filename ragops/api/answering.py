"""From passages to an answer: written by a chat model if there is one, else the passages themselves."""

from __future__ import annotations

import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.api.logs import log
from ragops.api.problem import ApiError
from ragops.embedding.responses import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ragops.api.chat_model import ChatModel
    from ragops.api.search import Found, Search

_LOG = logging.getLogger(__name__)
EVERYWHERE = "*"  # the name that stands for all collections in the cache and in the query log
NO_MODEL = "No chat model is configured: the passages are the answer."
NOTHING_FOUND = "Nothing was found."


@dataclass(frozen=True)
class Answer:
    """The answer to a question; `text` is None if no model wrote one, `note` is the reason."""

    found: Found
    text: str | None = None
    model: str | None = None
    note: str | None = None
    cached: bool = False


class Answers:
    """Answers questions; `writer` is None if no chat model is configured."""

    def __init__(self, search: Search, writer: ChatModel | None) -> None:
        self.search = search
        self.writer = writer

    async def answer(self, collection: str | None, query: str, limit: int) -> Answer:
        """Return passages and, if a model writes one, an answer. Raises ApiError if there are no passages."""
        found = await self.search.passages(collection, query, limit)
        known = await self._known(collection, query, found)
        if isinstance(known, Answer):
            return known
        try:
            piece = await known.write(query, found.passages)
        except ApiError as error:
            return _unwritten(found, error)
        return await self._written(collection, query, found, known, piece)

    async def stream(self, collection: str | None, query: str, limit: int) -> AsyncGenerator[Found | str | Answer]:
        """Yield the passages, then the pieces of an answer if a model writes one, then the whole answer.

        Raises ApiError if there are no passages. A model that fails leaves an answer with a note, as in `answer`: its
        pieces so far are no answer.
        """
        found = await self.search.passages(collection, query, limit)
        yield found
        known = await self._known(collection, query, found)
        if isinstance(known, Answer):
            if known.text is not None:
                yield known.text
            yield known
            return
        written: list[str] = []
        is_cut = False
        try:
            async with aclosing(known.stream(query, found.passages)) as pieces:
                async for piece in pieces:
                    is_cut = is_cut or piece.is_cut
                    written.append(piece.text)
                    if piece.text:
                        yield piece.text
        except ApiError as error:
            yield _unwritten(found, error)
            return
        yield await self._written(collection, query, found, known, Piece("".join(written).strip(), is_cut))

    async def _known(self, collection: str | None, query: str, found: Found) -> Answer | ChatModel:
        """Return the answer if no model has to write it, else the model."""
        if not found.passages:
            return Answer(found, note=NOTHING_FOUND, cached=found.cached)
        if self.writer is None:
            return Answer(found, note=NO_MODEL, cached=found.cached)
        model, cache = self.writer.config.model, self.search.cache
        text = await cache.get(collection or EVERYWHERE, _question(model, query, found)) if cache else None
        return Answer(found, text.decode(errors="surrogatepass"), model, cached=True) if text else self.writer

    async def _written(
        self, collection: str | None, query: str, found: Found, writer: ChatModel, piece: Piece
    ) -> Answer:
        """Return the answer that the model wrote, and keep it if it is whole."""
        model, text = writer.config.model, piece.text
        cut = f"ended at its limit of {writer.config.max_tokens} tokens (`api.chat.max_tokens`)"
        if not text:
            note = f"The chat model {cut if piece.is_cut else 'ended'} without an answer: the passages are the answer."
            return Answer(found, note=note, cached=found.cached)
        if piece.is_cut:
            return Answer(found, text, model, note=f"The answer {cut}.")
        if self.search.cache:
            content = text.encode(errors="surrogatepass")
            await self.search.cache.put(collection or EVERYWHERE, _question(model, query, found), content)
        return Answer(found, text, model)


def _question(model: str, query: str, found: Found) -> tuple[Any, ...]:
    return ("answer-2", model, query, [passage.id for passage in found.passages])


def _unwritten(found: Found, error: ApiError) -> Answer:
    log(_LOG, logging.WARNING, "answer_not_written", reason=error.detail)
    note = f"The chat model did not answer ({error.detail}): the passages are the answer."
    return Answer(found, note=note, cached=found.cached)
