"""Former place of a dynamic provider: states of Pulumi name it, so it stays importable."""

from ragops.runtimes.docker.provision.readiness import ReadyProvider as ReadyProvider
