"""Opens the Pulumi stack of an environment: program, runtime, engine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from ragops import __version__
from ragops.adapters import pulumi_install
from ragops.adapters.pulumi_engine import PulumiStack, StackOptions
from ragops.adapters.pulumi_pins import ENGINE_HINT
from ragops.errors import MissingError
from ragops.resources import stacks_dir
from ragops.runtimes.embedded import EmbeddedRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.config.load import Project


def open_stack(project: Project, secrets: Mapping[str, str]) -> PulumiStack:
    """The stack of the project's environment. Raises MissingError (engine_missing)."""
    settings, paths = project.settings, project.paths
    engine = pulumi_install.find()
    if engine is None:
        raise MissingError("engine_missing", "the Pulumi engine is not installed", ENGINE_HINT)
    program = _program()
    runtime = EmbeddedRuntime(paths, settings.run_as)
    options = StackOptions(
        project=settings.name,
        stack=paths.environment,
        work_dir=paths.pulumi,
        passphrase_file=paths.passphrase,
        backend=settings.pulumi.backend,
        secrets_provider=settings.pulumi.secrets_provider,
    )
    return PulumiStack(engine, options, lambda: program(settings, secrets, runtime))


def fingerprint(project: Project, secrets: Mapping[str, str]) -> str:
    """SHA-256 of all that the stack is made from: where it is unchanged, `up` can only repair."""
    values = [__version__, project.settings.model_dump(mode="json"), str(project.paths.root), sorted(secrets.items())]
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
