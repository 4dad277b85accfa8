"""Opens the Pulumi stack of an environment: program, runtime, engine."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ragops import __version__
from ragops.adapters.files import make_dir
from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi.engine import NO_STACK, PulumiStack
from ragops.adapters.pulumi.options import StackOptions
from ragops.adapters.pulumi.pins import ENGINE_HINT
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import MissingError, UsageError
from ragops.operations.data.models import model_keys
from ragops.operations.lifecycle.secret_files import read_secret_files
from ragops.resources import source_digest, stacks_dir
from ragops.runtimes.registry import host_of
from ragops.services.gateway import KONG_METRICS_PORT, certificate, tokens
from ragops.services.gateway.configuration import GatewayInputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from ragops.adapters.pulumi.install import Engine
    from ragops.config.load import Project
    from ragops.config.model import Settings
    from ragops.services.gateway.component import GatewayRuntime


@dataclass(frozen=True)
class PlatformInputs:
    """All that the program declares the platform from; `jwks_file` is where the API reads the tokens' public keys.

    `mixed` are the services whose nodes do not all run the wanted version yet. `model_keys` reads the keys of servers
    of models when they are declared: a stack that is taken down needs none. `notify_files` reads the files with secrets
    of `observability:` in the same way; `textfiles` is the folder of ragops's own figures.
    """

    settings: Settings
    secrets: Mapping[str, str]
    runtime: GatewayRuntime
    door: GatewayInputs
    jwks_file: str
    mixed: Collection[str] = ()
    model_keys: Callable[[], Mapping[str, str]] = dict
    notify_files: Callable[[], Mapping[str, str]] = dict
    environment: str = ""
    textfiles: str = ""

    def own(self, service: str) -> Mapping[str, Any]:
        """Return the inputs that one service alone reads, by name."""
        values: Mapping[str, Mapping[str, Any]] = {
            "api": {
                "jwks_file": self.jwks_file,
                "keys": self.door.keys,
                "search": self.settings.search.model_dump(),
            },
            "gateway": {"inputs": self.door},
        }
        if service == "api":
            return {**values["api"], "model_keys": self.model_keys()}
        if service == "observability":
            return {"environment": self.environment, "textfiles": self.textfiles, "files": self.notify_files()}
        return values.get(service, {})


def open_stack(project: Project, secrets: Mapping[str, str], *, mixed: Collection[str] = ()) -> PulumiStack:
    """Return the stack of the project's environment, made if there is none. Raises MissingError (engine_missing).

    `mixed` are the services whose nodes do not all run the wanted version yet.
    """
    engine = _engine(project)
    inputs = replace(platform_inputs(project, secrets), mixed=mixed)
    return PulumiStack(engine, stack_options(project), _declared(inputs))


def open_existing(project: Project, secrets: Mapping[str, str]) -> PulumiStack:
    """Return the stack as it was provisioned; no file of the gateway is made or renewed.

    Raises MissingError (engine_missing; no_stack if the environment was never provisioned).
    """
    engine = _engine(project)
    inputs = platform_inputs(project, secrets, write=False)
    return PulumiStack(engine, stack_options(project), _declared(inputs), create=False)


@contextlib.contextmanager
def open_for_preview(project: Project, secrets: Mapping[str, str]) -> Iterator[PulumiStack]:
    """Return the stack as it was provisioned; if it never was, an empty one in a temporary folder.

    Raises MissingError (engine_missing).
    """
    engine, options = _engine(project), stack_options(project)
    declared = _declared(platform_inputs(project, secrets, write=False))
    with tempfile.TemporaryDirectory(prefix="ragops-plan-") as name:
        folder = Path(name)
        known = options if options.work_dir.exists() else options.worked_in(folder)
        try:
            stack = PulumiStack(engine, known, declared, create=False)
        except MissingError as error:
            if error.code != NO_STACK:
                raise
            stack = PulumiStack(engine, options.with_state_in(folder), declared)
        yield stack


def _engine(project: Project) -> Engine:
    refuse_renamed(project)
    engine = pulumi_install.find()
    if engine is None:
        raise MissingError("engine_missing", "cannot open the stack: the Pulumi engine is not installed", ENGINE_HINT)
    return engine


def _declared(inputs: PlatformInputs) -> Callable[[], None]:
    program = _program()
    return lambda: program(inputs)


def refuse_renamed(project: Project) -> None:
    """Raise UsageError (name_changed) if what is up was provisioned under another name of the platform.

    Tokens are issued for the name, and what Docker has is called by it: under another one none of them would be taken,
    and another platform would be made next to this one's data.
    """
    before, now = _provisioned_name(project.paths.pulumi), project.settings.name
    if before in ("", now) or not project.paths.endpoints.exists():
        return
    what = (
        f"cannot rename the platform: it was provisioned as {before!r}, {project.config.name} now has `name: {now}`,"
        " and every token that was issued would be refused"
    )
    hint = (
        f"put `name: {before}` back; to rename it all the same, under the old name `ragops backup run` and"
        " `ragops down`, then set the new one, `ragops up`, `ragops restore latest` if data are missing, and"
        " `ragops token issue NAME` for everybody"
    )
    raise UsageError("name_changed", what, hint)


def _provisioned_name(work_dir: Path) -> str:
    """Return the name in the settings that the engine was last opened with; empty if there are none."""
    try:
        values = yaml.safe_load((work_dir / "Pulumi.yaml").read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(values.get("name") or "") if isinstance(values, dict) else ""


def stack_options(project: Project) -> StackOptions:
    """Which stack the environment is, and where its state lies."""
    settings, paths = project.settings, project.paths
    return StackOptions(
        project=settings.name,
        stack=paths.environment,
        work_dir=paths.pulumi,
        passphrase_file=paths.passphrase,
        backend=settings.pulumi.backend,
        secrets_provider=settings.pulumi.secrets_provider,
        variables=host_of(project).engine_variables(),
    )


def platform_inputs(project: Project, secrets: Mapping[str, str], *, write: bool = True) -> PlatformInputs:
    """Return the program's inputs, with the gateway's files made if they are missing; `write` stores them."""
    settings, paths = project.settings, project.paths
    if write:
        make_dir(paths.gateway, PASSAGE_MODE)
    credentials = tokens.ensure(paths.gateway) if write else tokens.load(paths.gateway)
    now = datetime.now(tz=UTC)
    tls = certificate.ensure(paths.gateway, now, write=write) if settings.gateway.tls else None
    door = GatewayInputs(
        settings=settings.gateway,
        platform=settings.name,
        upstream_host="127.0.0.1",
        upstream_port=settings.api.port,
        keys=tokens.jwks(credentials),
        certificate=str(tls.certificate) if tls else "",
        key=str(tls.key) if tls else "",
        fingerprint=tls.fingerprint if tls else "",
        pair=tls.pair() if tls else None,
        metrics_port=_metrics_port(project),
    )
    jwks_file, read_keys = str(paths.gateway / tokens.JWKS), partial(model_keys, settings, paths.root)
    return PlatformInputs(
        settings,
        secrets,
        host_of(project).runtime(),
        door,
        jwks_file,
        model_keys=read_keys,
        notify_files=partial(read_secret_files, settings, paths.root),
        environment=paths.environment,
        textfiles=str(paths.metrics),
    )


def _metrics_port(project: Project) -> int:
    """Return the port of the gateway's statistics: Kong's inside its network, Envoy's on this machine; 0 for none."""
    section = project.settings.observability
    if section is None:
        return 0
    return KONG_METRICS_PORT if host_of(project).facts.traits.uses_images else section.envoy_port


def fingerprint(project: Project, secrets: Mapping[str, str]) -> str:
    """Return the SHA-256 of all that the stack is made from but tokens, which `up` never replaces anything for.

    If it is unchanged, `up` can only repair.
    """
    values = [
        __version__,
        source_digest(),
        project.settings.model_dump(mode="json"),
        str(project.paths.root),
        sorted(secrets.items()),
        sorted(host_of(project).image_pins().items()),
        sorted(model_keys(project.settings, project.paths.root).items()),
        sorted(read_secret_files(project.settings, project.paths.root).items()),
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _program() -> Callable[..., Any]:
    path = stacks_dir() / "platform" / "__main__.py"
    spec = importlib.util.spec_from_file_location("ragops_platform_stack", path)
    if spec is None or spec.loader is None:
        raise MissingError("stack_missing", f"{path} is not there", "install ragops again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program: Callable[..., Any] = module.program
    return program
