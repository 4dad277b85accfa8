"""Translation of failures of the Pulumi engine and its Docker plugin into RagopsErrors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.pulumi import plugin as pulumi_plugin
from ragops.errors import ExitCode, RagopsError, decode_error

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 1500
# What the plugin wraps around each message: where in its source, which plugin, and a list of one.
_WRAPPING = re.compile(
    r"^\s*sdk-v2/\S+ sdk\.helper_schema: |: provider=docker@\S+$|^\d+ errors? occurred:\s*(?:\* )?"
    r"|creating urn:\S+ \d+ errors? occurred:\s*(?:\* )?"
)
_ADDRESS = r"(?P<address>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]*\]):(?P<port>\d+)"


@dataclass(frozen=True)
class _Known:
    """A failure that ragops has better words for: `message` and `hint` may name groups of `pattern`."""

    pattern: str
    code: str
    message: str
    hint: str
    missing: bool = False

    def error(self, text: str) -> RagopsError | None:
        found = re.search(self.pattern, text, re.DOTALL)
        if found is None:
            return None
        groups = {name: value or "" for name, value in found.groupdict().items()}
        exit_code = ExitCode.MISSING if self.missing else ExitCode.FAILED
        return RagopsError(
            self.code, self.message.format(**groups), self.hint.format(**groups), exit_code=exit_code
        )  # fmt: skip


_KNOWN = (
    _Known(
        r"incorrect passphrase",
        "wrong_passphrase",
        "the passphrase does not open the Pulumi state",
        "put the right one into the environment's passphrase file, or set PULUMI_CONFIG_PASSPHRASE; if it is lost,"
        " `ragops up --repair-state` keeps the state aside and takes up again what runs",
    ),
    _Known(
        r"[Rr]esponse from daemon:[^\n]*no space left on device",
        "disk_full",
        "no space is left where Docker keeps its data",
        "free some space there (`docker system df` shows what takes it), then run the command again",
        missing=True,
    ),
    _Known(
        r"no space left on device",
        "disk_full",
        "no space is left where the Pulumi state lies",
        "free some space, then run the command again",
        missing=True,
    ),
    _Known(
        r"read-only file system",
        "not_permitted",
        "cannot write the Pulumi state",
        "check the mount of the project's folder",
    ),
    _Known(
        rf"endpoint (?P<container>\S+) \([^\n]*?{_ADDRESS}[^\n]*"
        r"(?:address already in use|port is already allocated)",
        "port_taken",
        "port {port} of {address} is taken: {container} cannot listen there",
        "end what listens there (`ss -ltnp 'sport = :{port}'`), or give the service another port in ragops.yaml",
        missing=True,
    ),
    _Known(
        r'container name "/(?P<name>[^"]+)" is already in use by container "(?P<ident>\w{12})',
        "name_taken",
        "a container that ragops did not make has the name {name} ({ident})",
        "rename it (`docker rename {name} OTHER`) or remove it, then run `ragops up`",
    ),
    _Known(
        r"network with name (?P<name>\S+) already exists",
        "name_taken",
        "a network that ragops did not make has the name {name}",
        "take the containers out of it and remove it (`docker network rm {name}`), then run `ragops up`",
    ),
    _Known(
        r"could not find an available, non-overlapping IPv4 address pool|all predefined address pools have been fully",
        "networks_exhausted",
        "Docker has no addresses left for another network",
        "remove unused networks (`docker network prune`), or set default-address-pools in daemon.json",
    ),
    _Known(
        r"container with image \S+: |Docker image into resource: |[Nn]o such image",
        "image_missing",
        "cannot fetch an image that is not on this machine",
        "`ragops images pull` fetches the images; without a network, `docker load` them from a file",
        missing=True,
    ),
    _Known(
        r"permission denied while trying to connect to the [Dd]ocker",
        "docker_missing",
        "this user may not use the Docker engine",
        "add the user to the group docker (`sudo usermod -aG docker $USER`), then log in again",
        missing=True,
    ),
    _Known(
        r"failed to connect to any docker daemon|[Cc]annot connect to the Docker daemon",
        "docker_missing",
        "no Docker engine answers",
        "install or start it (`sudo systemctl start docker`); `docker context use` or DOCKER_HOST names another",
        missing=True,
    ),
)
_PLUGIN = "resource plugin 'pulumi-resource-docker'"


def translate(text: str, messages: Sequence[str] = ()) -> RagopsError:
    """Return the RagopsError of a failed run: `messages` are the errors among its events, `text` all its output.

    One that a provider of ours raised, else what is known about it, else the last words.
    """
    for message in (*messages, text):
        if found := decode_error(message):
            return found
    if _PLUGIN in text:
        what = f"the Pulumi plugin for Docker {pulumi_plugin.version()} is not installed"
        return RagopsError("plugin_missing", what, pulumi_plugin.hint(), exit_code=ExitCode.MISSING)
    words = "\n".join((*messages, text))
    for known in _KNOWN:
        if error := known.error(words):
            return error
    reason = "\n".join(unwrap_messages(messages)) or text.partition("stderr:")[2].strip() or text.strip()
    return RagopsError(
        "engine_failed", f"the Pulumi engine failed: {reason[-_LONGEST:]}", "run with --verbose for all of it"
    )


def unwrap_messages(messages: Sequence[str]) -> tuple[str, ...]:
    """Return the messages without the plugin's wrapping, each once, the summary left out if there are more."""
    found = []
    for message in messages:
        before, words = "", message.strip()
        while words != before:
            before, words = words, _WRAPPING.sub("", words).strip()
        found.append(words)
    specific = [words for words in dict.fromkeys(found) if words and words != "update failed"]
    return tuple(specific or dict.fromkeys(found))
