"""What `ragops up`, `plan` and `drift` are measured against: the Automation API alone on the very same stack.

Its argument says what is done: `up` (refresh, then up; as without one), `first` (up), `preview` or `refresh`.
"""

import os
import sys
from pathlib import Path

from pulumi import automation

from ragops.adapters.pulumi import install as pulumi_install
from ragops.config import secrets
from ragops.config.load import load
from ragops.operations.lifecycle.stack import _program, platform_inputs

project = load(None, None)
paths, settings = project.paths, project.settings
engine = pulumi_install.find()
if engine is None:
    sys.exit("no Pulumi engine: make engine")
program = _program()
inputs = platform_inputs(project, secrets.load(paths.secrets))

if "PULUMI_BACKEND_URL" not in os.environ:
    os.environ["PULUMI_BACKEND_URL"] = (paths.pulumi / "state").as_uri()
stack = automation.create_or_select_stack(
    stack_name=paths.environment,
    project_name=settings.name,
    program=lambda: program(inputs),
    opts=automation.LocalWorkspaceOptions(
        work_dir=str(paths.pulumi),
        pulumi_command=automation.PulumiCommand(root=str(Path(engine.path).parents[1])),
        env_vars={
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(paths.passphrase),
            "PATH": f"{paths.pulumi / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
    ),
)
what = sys.argv[1] if len(sys.argv) > 1 else "up"
if what == "first":  # `ragops down` is to know that it may remove what this makes
    (paths.pulumi / "docker-platform").touch()
else:
    stack.refresh()
if what == "preview":
    found = stack.preview().change_summary
elif what in ("up", "first"):
    found = stack.up().summary.resource_changes or {}
else:
    found = {}
if what != "first" and set(found) - {"same"}:
    sys.exit(f"not a second {what}: {found}")
