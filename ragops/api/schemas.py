"""Requests and responses for users, with examples: a source of the OpenAPI document."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  pydantic reads the annotation
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_PASSAGES = 50
CollectionName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"),
    Field(description="name of the collection to look in", examples=["manuals"]),
]
Question = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=r"\S"),
    Field(description="what is asked, in plain words", examples=["How do I rotate a secret?"]),
]

_PASSAGE: dict[str, Any] = {
    "id": "7f3c1b1e-58a1-5d0c-9a53-6f4f0a1c2b3d",
    "document_id": 17,
    "path": "security/rotation.md",
    "position": 3,
    "score": 0.6123,
    "text": "Two secrets are valid during a rotation…",
    "heading": "Secrets / Rotation",
    "collection": "manuals",
}

_MODE = "how it was searched: hybrid, dense or sparse; what the collection lacks is left out, several modes are listed"


def with_example(**values: Any) -> ConfigDict:
    """Return the configuration of a response whose example in the document has these values."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SearchRequest(_Request):
    """A question to one collection, or to all of them."""

    collection: CollectionName | None = Field(
        None, description="the collection to ask; all of them if it is left out", examples=["manuals"]
    )
    query: Question
    limit: int = Field(5, ge=1, le=MAX_PASSAGES, description="most passages to return", examples=[5])


class DocumentSearchRequest(_Request):
    """A question to one collection, answered by documents, page by page."""

    collection: CollectionName
    query: Question
    limit: int = Field(10, ge=1, le=50, description="most documents on a page", examples=[10])
    passages: int = Field(3, ge=1, le=10, description="most passages of one document", examples=[3])
    cursor: str | None = Field(
        None,
        max_length=4096,
        description="`next_cursor` of the page before, with the same question",
        # Without one this is the first page: a made-up cursor would be refused.
        examples=[None],
    )


class CollectionsRequest(_Request):
    """Which part of the list of collections."""

    limit: int = Field(100, ge=1, le=1000, description="most collections to return", examples=[100])
    after: str = Field("", max_length=255, description="`next` of the page before", examples=[""])


class RefreshRequest(_Request):
    """Which collections have changed."""

    collections: list[CollectionName] = Field(
        default_factory=list, max_length=1000, description="names; none: all of them", examples=[["manuals"]]
    )


class Passage(BaseModel):
    """A piece of a document. `score` orders the passages of one answer and means nothing across questions.

    It is the sum of weighted reciprocal ranks in hybrid search, the cosine of the angle between the vectors in dense
    search, the BM25 weight of common words in sparse search.
    """

    id: str
    document_id: int | str | None
    path: str
    position: int | None
    score: float
    text: str
    heading: str = Field("", description="the headings above it, outermost first; empty if there are none")
    collection: str = Field("", description="the collection that it is from")


class SearchResponse(BaseModel):
    """The passages that answer the question best, best first and each text once; none if none is about it."""

    model_config = with_example(
        collection="manuals", embedder="hashing-384-v1", mode="hybrid", cached=False, results=[_PASSAGE]
    )

    collection: str | None = Field(description="the collection that was asked; null: all of them")
    embedder: str = Field(description="what made the vectors")
    mode: str = Field(description=_MODE)
    cached: bool = Field(description="whether the answer comes from the cache, at most some seconds old")
    results: list[Passage]


class AnswerResponse(BaseModel):
    """An answer written from passages, or the passages alone if no model wrote one."""

    model_config = with_example(
        collection="manuals",
        answer=None,
        generated=False,
        model=None,
        note="No chat model is configured: the passages are the answer.",
        embedder="hashing-384-v1",
        mode="hybrid",
        cached=False,
        passages=[_PASSAGE],
    )

    collection: str | None = Field(description="the collection that was asked; null: all of them")
    answer: str | None = Field(description="the model's text; null if none wrote any")
    generated: bool = Field(description="whether a model wrote `answer`; false: read the passages")
    model: str | None = Field(description="the model that wrote it")
    note: str | None = Field(description="why there is no written answer")
    embedder: str = Field(description="what made the vectors")
    mode: str = Field(description=_MODE)
    cached: bool = Field(description="whether the answer comes from the cache, at most some seconds old")
    passages: list[Passage] = Field(description="what the answer rests on, best first; cited as [1], [2], …")


class CollectionInfo(BaseModel):
    """A collection that can be asked; what the metadata database knows is null where the service has none."""

    name: str
    embedding_model: str | None
    enabled: bool | None
    documents: int | None = Field(description="documents that are indexed")
    indexed_at: datetime | None


class CollectionsResponse(BaseModel):
    """Collections by name."""

    model_config = with_example(
        collections=[
            {
                "name": "manuals",
                "embedding_model": "hashing-384-v1",
                "enabled": True,
                "documents": 52,
                "indexed_at": "2026-11-23T10:15:00Z",
            }
        ],
        next=None,
        embedder="hashing-384-v1",
    )

    collections: list[CollectionInfo]
    next: str | None = Field(description="give it as `after` for the next page; null at the end")
    embedder: str = Field(description="what questions are turned into vectors with")


class DocumentPassage(BaseModel):
    """A passage below its document."""

    id: str
    position: int | None
    score: float
    text: str


class DocumentResult(BaseModel):
    """A document with its best passages; `score` is that of the best one."""

    document_id: int | str | None
    path: str
    score: float
    passages: list[DocumentPassage]


class DocumentSearchResponse(BaseModel):
    """The documents that hold the nearest passages, best first."""

    model_config = with_example(
        collection="manuals",
        embedder="hashing-384-v1",
        mode="hybrid",
        cached=False,
        documents=[
            {
                "document_id": 17,
                "path": "security/rotation.md",
                "score": 0.6123,
                "passages": [{key: _PASSAGE[key] for key in ("id", "position", "score", "text")}],
            }
        ],
        next_cursor="eyJzIjoiUjhGWDJNcksiLCJxIjoiOWY4NmQwODE4ODRjN2Q2NSJ9",
    )

    collection: str
    embedder: str = Field(description="what made the vectors")
    mode: str = Field(description=_MODE)
    cached: bool = Field(description="whether the answer comes from the cache, at most some seconds old")
    documents: list[DocumentResult]
    next_cursor: str | None = Field(description="asks for the next page; null on the last one")
