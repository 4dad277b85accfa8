"""The contract between a service and the rest of ragops: small protocols and frozen values.

Provisioning describes a service as a `ServiceSpec` (spec.py) and passes it to a runtime. Day-2 operations use its
`Endpoint` and, if an operation needs more than the service's own protocol, the `Control` that its runtime provides.
"""

from ragops.services.contract.backup import BackupEngine, Extent, NotRestored, Part, PartWriter, Proof, discard
from ragops.services.contract.endpoint import Capability, Endpoint, Login, Node
from ragops.services.contract.lazy import Lazy
from ragops.services.contract.probe import Check, ProbeResult, Status
from ragops.services.contract.service import (
    Declaration,
    Declared,
    Program,
    ScrapeTarget,
    Service,
    VersionStep,
)

__all__ = [
    "BackupEngine",
    "Capability",
    "Check",
    "Declaration",
    "Declared",
    "Endpoint",
    "Extent",
    "Lazy",
    "Login",
    "Node",
    "NotRestored",
    "Part",
    "PartWriter",
    "ProbeResult",
    "Program",
    "Proof",
    "ScrapeTarget",
    "Service",
    "Status",
    "VersionStep",
    "discard",
]
