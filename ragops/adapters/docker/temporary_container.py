"""Containers that live for one command, or for a hold on the files of a volume."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.containers import DockerContainers
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.exec import LIMIT, OUTPUT_LIMIT, STDERR_LIMIT, run_exchange
from ragops.adapters.docker.stream import ExecStream, RingBuffer
from ragops.adapters.docker.values import ExecResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_END_WAIT = 10


class DockerTemporaryContainers(DockerContainers):
    """The part of `DockerHost` about short-lived containers.

    They have no network, no capability but those named, and a name that is theirs alone: what a killed run left under
    it is awaited and removed first, so there are never two at once. `mounts` are folders inside by volume's name.
    """

    def run_once(
        self, name: str, image: str, argv: Sequence[str], *, mounts: Mapping[str, str] | None = None,
        user: str = "0:0", capabilities: Sequence[str] = (), input: bytes | None = None,
        env: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, limit: float = LIMIT,
    ) -> ExecResult:  # fmt: skip
        """Run `argv` instead of the image's entrypoint, at most `limit` seconds; a code other than 0 is no error here.

        Keeps the last 4 MiB of output. Raises RagopsError (docker_timeout): it is ended then.
        """
        config = _config(image, argv, mounts, user, capabilities, labels)
        config |= {"Env": [f"{key}={value}" for key, value in (env or {}).items()]}
        config |= dict.fromkeys(("OpenStdin", "StdinOnce", "AttachStdin"), input is not None)
        with self._existing(name, config):
            return self.run_created(name, input=input, limit=limit)

    @contextmanager
    def created(
        self, name: str, image: str, argv: Sequence[str] = ("none",), *, mounts: Mapping[str, str],
        capabilities: Sequence[str] = (), labels: Mapping[str, str] | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """Create a stopped container of root's for the block; files get in and out of volumes through it.

        `run_created` runs its `argv`.
        """
        with self._existing(name, _config(image, argv, mounts, "0:0", capabilities, labels)):
            yield

    def run_created(self, name: str, *, input: bytes | None = None, limit: float = LIMIT) -> ExecResult:
        """Start a container that was only created, and wait for its end; the rest is as for `run_once`."""
        doing, out, said = f"run {name}", RingBuffer(OUTPUT_LIMIT), RingBuffer(STDERR_LIMIT)
        with self.translate_errors(doing):
            params = {"stdin": int(input is not None), "stdout": 1, "stderr": 1, "stream": 1}
            conversation = ExecStream(self.api.attach_socket(name, params=params))
            try:
                self.api.start(name)
            except BaseException:
                conversation.close()
                raise
            run_exchange(conversation, doing, None if input is None else io.BytesIO(input), out, said, limit)
            code = int(self.api.wait(name, timeout=_END_WAIT)["StatusCode"])
        return ExecResult(code, bytes(out.data), bytes(said.data))

    @contextmanager
    def _existing(self, name: str, config: Mapping[str, Any]) -> Iterator[None]:
        self._clear(name)
        self.create(name, config)
        try:
            yield
        finally:
            self.remove(name, force=True)

    def _clear(self, name: str) -> None:
        try:
            with self.translate_errors(f"wait for the end of {name}"):
                if self.api.inspect_container(name)["State"]["Running"]:
                    self.api.wait(name, timeout=int(LIMIT))
        except NotFoundError:
            return
        self.remove(name, force=True)


def _config(
    image: str, argv: Sequence[str], mounts: Mapping[str, str] | None, user: str, capabilities: Sequence[str],
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "Image": image,
        "Entrypoint": list(argv),
        "Cmd": [],
        "User": user,
        "Labels": dict(labels or {}),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none",
            "Binds": [f"{volume}:{target}" for volume, target in (mounts or {}).items()],
            "CapDrop": ["ALL"],
            "CapAdd": list(capabilities),
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "none"},  # what it prints is for us alone
        },
    }
