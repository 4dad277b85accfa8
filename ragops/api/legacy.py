"""The paths without a version: version 1's operations, deprecated (their headers and their end: middleware.Legacy)."""

from __future__ import annotations

from fastapi import APIRouter

from ragops.api import v1
from ragops.api.problem import responses

router = APIRouter()
router.include_router(v1.router, deprecated=True, responses=responses(410))
