"""Former place of a dynamic provider: states of Pulumi name it, so it stays importable."""

from ragops.runtimes.docker.kong.provider import KongConfigProvider as KongConfigProvider
