"""Names of services as a user types them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise UsageError (unknown_service) if one of `names` is no service; its hint has the nearest name, or all."""
    known = [service.name for service in SERVICES]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
            raise UsageError("unknown_service", f"there is no service {name!r}", hint)
