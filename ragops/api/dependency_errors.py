"""What a caller of the API gets when a dependency does not answer; what breakers count."""

from __future__ import annotations

import math

from ragops.api.problem import ApiError

SLOW = "dependency_slow"


class DependencyFailedError(ApiError):
    """A dependency did not answer, or not as it should: what the breaker counts."""

    def __init__(self, dependency: str, reason: str) -> None:
        detail = f"{dependency}: {reason}"
        super().__init__(503, "dependency_failed", detail, headers={"Retry-After": "1"}, dependency=dependency)


class SlowError(DependencyFailedError):
    """The dependency is there, and its answer did not come in time."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(dependency, reason)
        self.code = SLOW


class CircuitOpenError(ApiError):
    """The dependency is left alone; `seconds` until it is worth a try again."""

    def __init__(self, dependency: str, seconds: float, reason: str) -> None:
        wait = max(1, math.ceil(seconds))
        detail = f"{dependency} {reason}; try again in {wait} s"
        super().__init__(503, "circuit_open", detail, headers={"Retry-After": str(wait)}, dependency=dependency)
