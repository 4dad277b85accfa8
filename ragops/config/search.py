"""Section `search:` of ragops.yaml: how questions find passages."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["hybrid", "dense", "sparse"]


class SearchSettings(BaseModel):
    """Section `search:`; `ragops ingest` makes the vectors that the mode needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        "hybrid",
        description="hybrid: by meaning and by words, fused by rank; dense: vectors alone; sparse: words alone, which"
        " needs no embedder",
    )
    least_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="how near a passage must be that shares too few words with the question; empty: the embedder's own",
    )
