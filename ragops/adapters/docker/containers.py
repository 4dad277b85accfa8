"""Containers: inspected, started, stopped, their logs; and those that live for one command."""

from __future__ import annotations

import io
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from ragops.adapters.docker import values
from ragops.adapters.docker.api import label_filters
from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.exec import LIMIT, OUTPUT_LIMIT, STDERR_LIMIT, DockerExec, run_exchange
from ragops.adapters.docker.stream import ExecStream, RingBuffer, split_lines
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_POLL = 0.1
_END_WAIT = 10
_CRASHES = 2  # a service that is restarted oftener while it is awaited will not come up
_READ, _QUOTED = 500, 8  # lines of the log: those that are searched, and those that are quoted
_MORE_MEMORY = "give the service more `memory:` in ragops.yaml"
_CHECK_LIMIT = 5.0
_LAST_WORDS = timedelta(seconds=0.05)  # Docker waits longer before it starts it again


class DockerContainers(DockerExec):
    """The part of `DockerHost` about containers.

    Those of `run_once` and `created` are short-lived: they have no network, no capability but those named, and a name
    that is theirs alone. What a killed run left under it is awaited and removed first, so that there are never two at
    once. `mounts` are folders inside by volume's name.
    """

    def containers(self, labels: Mapping[str, str]) -> tuple[values.Container, ...]:
        """Return all containers with these labels, running or not, by name."""
        with self.translate_errors("list the containers"):
            listed = self.api.containers(all=True, filters={"label": label_filters(labels)})
        found = [self.container(str(raw["Id"])) for raw in listed]
        return tuple(sorted((one for one in found if one), key=lambda one: one.name))

    def container(self, name: str) -> values.Container | None:
        """Return one container by name or id, None if there is none."""
        with suppress(NotFoundError), self.translate_errors(f"inspect {name}"):
            return values.container(self.api.inspect_container(name))
        return None

    def published(self, name: str) -> dict[int, tuple[str, ...]]:
        """Return the addresses of this machine that its ports listen on, by port inside, in Docker's own order."""
        try:
            with self.translate_errors(f"inspect {name}"):
                ports = (self.api.inspect_container(name).get("NetworkSettings") or {}).get("Ports") or {}
        except NotFoundError:
            return {}
        return {
            int(inner.partition("/")[0]): tuple(str(one.get("HostIp", "")) for one in bound)
            for inner, bound in ports.items()
            if bound
        }

    def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Create a container from a body as the API takes it, without starting it; returns its id."""
        with self.translate_errors(f"create {name}"):
            made = self.api.create_container_from_config(dict(config), name)  # type: ignore[no-untyped-call]
            return str(made["Id"])

    def start(self, name: str) -> None:
        """Start it; nothing to do if it runs. Raises NotFoundError, RagopsError (docker_failed)."""
        with self.translate_errors(f"start {name}"):
            self.api.start(name)

    def stop(self, name: str, timeout: float) -> None:
        """Stop it with its own signal, after `timeout` seconds with SIGKILL; nothing to do if it does not run."""
        with self.translate_errors(f"stop {name}"):
            self.api.stop(name, timeout=max(1, round(timeout)))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove the container, with `force` a running one too; named volumes stay. Nothing to do without it."""
        with suppress(NotFoundError), self.translate_errors(f"remove {name}"):
            self.api.remove_container(name, force=force, v=True)

    def run_copy(self, name: str, copy: str, extra_args: Sequence[str], labels: Mapping[str, str]) -> None:
        """Start a container like the stopped `name`, called `copy`, with `extra_args` after its command.

        It has the same image, volumes, ports and names in its networks, more `labels`, and is never restarted.
        """
        with self.translate_errors(f"inspect {name}"):
            raw: dict[str, Any] = self.api.inspect_container(name)
        self.create(copy, _copied(raw, extra_args, labels))
        self.start(copy)

    def wait_healthy(self, name: str, timeout: float) -> None:
        """Wait until its health check passes, or until it runs if it has none.

        The check is run here, because Docker's own rounds are many seconds apart.
        Raises RagopsError (service_failed) with the end of its log if it dies or `timeout` seconds pass.
        """
        deadline = time.monotonic() + timeout
        crashes = None
        while True:
            found = self.container(name)
            if found is None:
                raise NotFoundError("docker_not_found", f"there is no container {name}", "run `ragops up`")
            state = found.state
            if state.running and self._passes(found, deadline - time.monotonic()):
                return
            crashes = state.restarts if crashes is None else crashes
            if state.status in ("exited", "dead") or state.restarts - crashes >= _CRASHES:
                self._failed(name, _how_it_ended(state), _MORE_MEMORY if state.oom_killed else "", state.finished)
            if time.monotonic() > deadline:
                self._failed(name, f"is {state.health or state.status} and was not healthy within {timeout:.0f} s")
            time.sleep(_POLL)

    def _passes(self, container: values.Container, limit: float) -> bool:
        if not container.check or container.state.health == values.HEALTHY:
            return True
        try:
            return self.exec(container.id, container.check, limit=min(_CHECK_LIMIT, max(1.0, limit))).code == 0
        except RagopsError as error:
            if isinstance(error, MissingError):
                raise
            return False  # it hangs, or it ended during the check

    def logs(
        self, name: str, lines: int, *, follow: bool = False, until: datetime | None = None
    ) -> Iterator[str]:  # fmt: skip
        """Yield the last `lines` lines of its log, then new ones if `follow`, until it ends. Raises NotFoundError."""
        with self.translate_errors(f"read the log of {name}"):
            chunks = self.api.logs(
                name, stdout=True, stderr=True, stream=True, follow=follow, timestamps=False, tail=lines,
                until=until.timestamp() if until else None,
            )  # fmt: skip
            yield from (line.decode(errors="replace").rstrip("\r") for line in split_lines(chunks))

    def memory(self, name: str) -> int:
        """Return the bytes of memory that it uses now, 0 if it does not run."""
        with self.translate_errors(f"measure the memory of {name}"):
            return values.memory_used(self.api.stats(name, stream=False, one_shot=True))

    def _failed(self, name: str, what: str, hint: str = "", ended: datetime | None = None) -> NoReturn:
        """Raise the error; `ended` bounds the log: by now a restarted container may have logged its next start."""
        try:
            tail = list(self.logs(name, _READ, until=ended + _LAST_WORDS if ended else None))[-_QUOTED:]
        except RagopsError:
            tail = []
        log = "its log ends:\n" + "\n".join(f"  {line}" for line in tail) if tail else "its log is empty"
        raise RagopsError("service_failed", f"{name} {what}", f"{hint}; {log}" if hint else log)

    # --- short-lived ones

    def run_once(
        self, name: str, image: str, argv: Sequence[str], *, mounts: Mapping[str, str] | None = None,
        user: str = "0:0", capabilities: Sequence[str] = (), input: bytes | None = None,
        env: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, limit: float = LIMIT,
    ) -> values.ExecResult:  # fmt: skip
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

    def run_created(self, name: str, *, input: bytes | None = None, limit: float = LIMIT) -> values.ExecResult:
        """Start a container that was only created, and wait for its end; the rest is as for `run_once`."""
        doing, out, stderr = f"run {name}", RingBuffer(OUTPUT_LIMIT), RingBuffer(STDERR_LIMIT)
        with self.translate_errors(doing):
            params = {"stdin": int(input is not None), "stdout": 1, "stderr": 1, "stream": 1}
            conversation = ExecStream(self.api.attach_socket(name, params=params))
            try:
                self.api.start(name)
            except BaseException:
                conversation.close()
                raise
            run_exchange(conversation, doing, None if input is None else io.BytesIO(input), out, stderr, limit)
            code = int(self.api.wait(name, timeout=_END_WAIT)["StatusCode"])
        return values.ExecResult(code, bytes(out.data), bytes(stderr.data))

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


def _how_it_ended(state: values.State) -> str:
    if state.oom_killed:
        return "was ended because it needed more memory than its limit"
    if state.status not in ("exited", "dead"):
        return f"crashes again and again (exit {state.exit_code})"
    stderr = f": {state.error}" if state.error else ""
    return f"ended with {state.exit_code} while it started{stderr}"


def _copied(raw: Mapping[str, Any], extra_args: Sequence[str], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the body that creates a container like the inspected one."""
    config = {key: value for key, value in raw["Config"].items() if key != "Hostname"}
    config["Cmd"] = [*(config.get("Cmd") or ()), *extra_args]
    config["Labels"] = {**(config.get("Labels") or {}), **labels}
    config["Image"] = raw["Image"]
    host = {**raw["HostConfig"], "RestartPolicy": {"Name": "no"}}
    networks = {
        name: {"Aliases": [alias for alias in found.get("Aliases") or () if not raw["Id"].startswith(alias)]}
        for name, found in raw["NetworkSettings"]["Networks"].items()
    }
    return {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": networks}}


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
