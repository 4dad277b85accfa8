"""The endpoint of the Docker engine, found as the docker command does: variables, current context, usual sockets."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.errors import MissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "unix:///var/run/docker.sock"
DEFAULT = "default"  # the context of variables and usual sockets
_SCHEMES = ("unix", "tcp", "http", "https", "npipe", "fd")


@dataclass(frozen=True)
class DockerEndpoint:
    """A Docker engine: its URL, the folder of ca.pem, cert.pem and key.pem (empty: no TLS), how it was found."""

    url: str
    certificates: str = ""
    verify: bool = True
    source: str = DEFAULT

    def variables(self) -> dict[str, str]:
        """Return the environment in which programs without contexts find the same engine."""
        found = {"DOCKER_HOST": self.url, "DOCKER_CONTEXT": ""}
        if self.certificates:
            found |= {"DOCKER_CERT_PATH": self.certificates, "DOCKER_TLS_VERIFY": "1" if self.verify else ""}
        return found


def find_docker_endpoint(environment: Mapping[str, str] = os.environ) -> DockerEndpoint:
    """Return the engine that the docker command would use.

    DOCKER_HOST goes before DOCKER_CONTEXT, that before the current context of the configuration, that before the usual
    sockets: the system's, then a rootless engine's. Raises MissingError (docker_context_missing), UsageError
    (docker_context_unreadable, docker_context_unsupported).
    """
    folder = _configuration(environment)
    if host := environment.get("DOCKER_HOST"):
        return _by_host(host, folder, environment)
    name = environment.get("DOCKER_CONTEXT", "")
    source = "DOCKER_CONTEXT" if name else str(folder / "config.json")
    name = name or _current(folder / "config.json")
    if name and name != DEFAULT:
        return _by_context(name, folder, source)
    return DockerEndpoint(_usual_socket(environment))


def _configuration(environment: Mapping[str, str]) -> Path:
    if own := environment.get("DOCKER_CONFIG"):
        return Path(own)
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / ".docker"


def _by_host(host: str, folder: Path, environment: Mapping[str, str]) -> DockerEndpoint:
    secure = bool(environment.get("DOCKER_TLS_VERIFY")) and host.startswith(("tcp", "http"))
    certificates = environment.get("DOCKER_CERT_PATH") or str(folder)
    return DockerEndpoint(_supported(host, "DOCKER_HOST"), certificates if secure else "", source="DOCKER_HOST")


def _by_context(name: str, folder: Path, source: str) -> DockerEndpoint:
    ident = hashlib.sha256(name.encode()).hexdigest()
    path = folder / "contexts" / "meta" / ident / "meta.json"
    try:
        endpoint = json.loads(path.read_text())["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except FileNotFoundError as error:
        what = f"there is no Docker context {name!r}, which {source} names"
        hint = "`docker context ls` shows those that exist, `docker context use NAME` chooses one"
        raise MissingError("docker_context_missing", what, hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"cannot read the Docker context {name!r}: {path}: {type(error).__name__}"
        raise UsageError("docker_context_unreadable", what, f"make it again: `docker context rm {name}`") from error
    certificates = folder / "contexts" / "tls" / ident / "docker"
    secure = str(certificates) if certificates.is_dir() else ""
    verify = not bool(endpoint.get("SkipTLSVerify"))
    return DockerEndpoint(_supported(host, f"the Docker context {name!r}"), secure, verify, f"context {name}")


def _supported(host: str, source: str) -> str:
    scheme, mark, rest = host.partition("://")
    if scheme == "ssh":
        what = f"cannot reach Docker over ssh ({host}, by {source})"
        hint = (
            f"forward its socket, `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock {rest}`, and set"
            " DOCKER_HOST=unix:///tmp/docker.sock; or run ragops on that machine"
        )
        raise UsageError("docker_context_unsupported", what, hint)
    if mark and scheme not in _SCHEMES:
        what = f"cannot reach Docker at {host} (by {source}): {scheme}:// is not taken"
        raise UsageError("docker_context_unsupported", what, "use unix:// or tcp://")
    return host


def _current(path: Path) -> str:
    try:
        values: Any = json.loads(path.read_text())
    except (OSError, ValueError):  # the docker command reports what is wrong with it; without it there is no context
        return ""
    return str(values.get("currentContext") or "") if isinstance(values, dict) else ""


def _usual_socket(environment: Mapping[str, str]) -> str:
    """Return the system's socket; without it, that of a rootless engine or of Docker Desktop."""
    runtime, home = environment.get("XDG_RUNTIME_DIR", ""), environment.get("HOME", "")
    others = [f"{runtime}/docker.sock"] if runtime else [f"/run/user/{os.getuid()}/docker.sock"]
    others += [f"{home}/.docker/run/docker.sock"] if home else []
    if not _exists(DEFAULT_URL.removeprefix("unix://")):
        for path in others:
            if _exists(path):
                return f"unix://{path}"
    return DEFAULT_URL


def _exists(path: str) -> bool:
    try:
        return Path(path).is_socket()
    except OSError:
        return False
