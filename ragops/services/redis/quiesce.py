"""A pause of writes in Redis: writers wait, reads continue; with a message for clients that would write.

Neither outlives ragops for long: the pause ends by itself after its time, the message with the connection.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis

from ragops.adapters import redis_client
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.redis.scratch_client import operator_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

PAUSE_SECONDS = 20.0
_BEATS = 4  # renewals within the time of one pause
_COMMAND_LIMIT = 10.0


@contextmanager
def announce_read_only(endpoint: Endpoint, channel: str) -> Iterator[None]:
    """Subscribe to `channel` during the block, which PUBSUB NUMSUB shows to all clients. Raises RagopsError.

    Not a key: while writes wait, a key's time could not be renewed, nor the key removed, and it would be in the
    recovery point. A subscription is no write, and the server ends it when we are gone.
    """
    with operator_client(endpoint, _COMMAND_LIMIT) as client, client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(channel)
        if subscription.get_message(timeout=_COMMAND_LIMIT) is None:
            raise UnhealthyError(
                "redis_timeout",
                "cannot announce the pause: redis did not answer SUBSCRIBE",
                "look at `ragops logs redis`",
            )
        yield


@contextmanager
def pause_writes(endpoint: Endpoint, seconds: float = PAUSE_SECONDS) -> Iterator[None]:
    """Let every write wait (CLIENT PAUSE WRITE), for at most `seconds` more than this process lives.

    Raises RagopsError; at the end UnhealthyError (quiesce_lost) if writes may have gone through.
    """
    with operator_client(endpoint, _COMMAND_LIMIT) as client:
        pause = _Pause(client, seconds)
        try:
            pause.begin()
            yield
        except BaseException:
            with suppress(RagopsError):
                pause.end()
            raise
        pause.end()


class _Pause:
    """A pause of the server's writers that a thread renews, and that records whether it ever lapsed."""

    def __init__(self, client: redis.Redis, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._until = 0.0  # by the server's clock
        self._process = ""  # of the server
        self._lost = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="redis-pause", daemon=True)

    def begin(self) -> None:
        """Pause, and keep it so. Raises the client's errors."""
        self._renew()
        self._thread.start()

    def end(self) -> None:
        """Let writers continue. Raises UnhealthyError (quiesce_lost)."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._unpause()
        except redis.RedisError as error:
            self._lost = self._lost or redis_client.translate(error).message
        if self._lost:
            what = f"cannot keep redis read-only: {self._lost}"
            raise UnhealthyError("quiesce_lost", what, "run the command again; see `ragops health redis`")

    def _keep(self) -> None:
        while not self._lost and not self._over.wait(self._seconds / _BEATS):
            try:
                self._renew()
            except Exception as error:
                self._lost = f"the pause could not be renewed: {type(error).__name__}"

    def _renew(self) -> None:
        milliseconds = int(self._seconds * 1000)
        now = self._send("CLIENT", "PAUSE", str(milliseconds), "WRITE")
        self._until = now + milliseconds / 1000

    def _unpause(self) -> None:
        """Once more on a new connection if ours is gone: writers should not have to wait for the time."""
        try:
            self._send("CLIENT", "UNPAUSE")
        except redis.RedisError as error:
            self._lost = self._lost or f"the connection was lost: {type(error).__name__}"
            self._send("CLIENT", "UNPAUSE")

    def _send(self, *command: str) -> float:
        """Send it, having looked at how things stood just before; returns the server's time then."""
        batch: Any = self._client.pipeline(transaction=False)
        batch.info().time().execute_command(*command)
        state, (seconds, microseconds), _ = batch.execute()
        now = float(seconds + microseconds / 1e6)
        if self._until and not self._lost:
            self._lost = self._fault(state, now)
        self._process = state["run_id"]
        return now

    def _fault(self, state: dict[str, Any], now: float) -> str:
        """Why writes may have gone through; the client connects again by itself, so a restart is no error for it."""
        if state["run_id"] != self._process:
            return "it was restarted"
        if now >= self._until:
            return f"the pause had ended {now - self._until:.1f} s before it was renewed"
        if state.get("paused_actions", "write") == "none":  # not every engine reports it
            return "another client ended the pause"
        return ""
