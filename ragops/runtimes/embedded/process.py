"""Former place of a dynamic provider: states of Pulumi name it, so it stays importable."""

from ragops.runtimes.embedded.processes.provider import ProcessProvider as ProcessProvider
