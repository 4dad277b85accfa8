"""One node of a Qdrant cluster in its image: environment, start, health. Pure values, no Pulumi."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.render import render
from ragops.services.image_references import size_bytes, tag, tag_version
from ragops.services.monitoring import QDRANT_SECRET
from ragops.services.qdrant.names import API_KEY_SECRET, IMAGE, SERVER_VERSION
from ragops.services.qdrant.settings import instance
from ragops.services.qdrant.shard_layout import least_copies
from ragops.services.secret_names import values
from ragops.services.spec import ConfigFile, ExecCheck, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import Layout

REST_PORT, GRPC_PORT, PEER_PORT = 6333, 6334, 6335
# Seconds to stop. Idle a node ends within one. Under load it waits half a minute for connections to end that wait for
# it, and writes through the other nodes wait as long; a leader that ends this way is missed later than one that is
# killed (docs/qdrant.md). Killed it loses nothing: it reads its log at the next start.
STOP_GRACE = 1.0
_PROGRAM = "/qdrant/qdrant"
_MOUNT = "/qdrant/storage"
# The image has neither curl nor wget. /healthz, not /readyz: a node whose shards are still filled from the others
# is not ready, and the others could not start before it. A new node does not answer before it has joined.
_HEALTHY = (
    f"exec 3<>/dev/tcp/127.0.0.1/{REST_PORT} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3"
    " && read -r -t 5 line <&3 && [[ $line == *' 200 '* ]]"
)


def image(settings: QdrantSettings) -> ImageSpec:
    """Return the image of every node."""
    return ImageSpec(reference=settings.image or IMAGE, mount=_MOUNT, user="root", writable=("/tmp",))  # noqa: S108


def image_reference(settings: QdrantSettings, wanted: str) -> str:
    """Return the image of another version, from where this one comes."""
    reference = (settings.image or IMAGE).partition("@")[0]
    name = reference.removesuffix(f":{tag(reference)}") if tag(reference) else reference
    return f"{name}:v{wanted}"


def version(settings: QdrantSettings) -> str:
    """Return the version of the image's tag, else the pinned one."""
    return tag_version(settings.image) or SERVER_VERSION


def node_spec(
    settings: QdrantSettings,
    secrets: Mapping[str, str],
    layouts: Sequence[Layout],
    number: int,
    *,
    asks_nodes: bool = True,
    is_monitored: bool = False,
) -> ServiceSpec:
    """Return the specification of node `number`, counted from 1; `layouts` are those of all nodes in their order.

    With `asks_nodes` the other nodes have to send it the key too: off while there are some that do not (versions.py).
    With `is_monitored` it takes a key that only reads, too.
    """
    layout = layouts[number - 1]
    secret_file = f"{layout.config_dir}/key.yaml"
    others = [other.internal_host for other in layouts if other is not layout]
    join = render(
        "qdrant/join.sh.j2",
        secrets=secret_file,
        program=_PROGRAM,
        host=layout.internal_host,
        others=others,
        first="" if number == 1 else layouts[0].internal_host,
        port=PEER_PORT,
    )
    return ServiceSpec(
        service="qdrant",
        instance=instance(number),
        version=version(settings),
        command=("/bin/bash", f"{layout.config_dir}/join.sh"),
        files=(
            ConfigFile("join.sh", join),
            # JSON is YAML too, and quotes what a key may hold.
            ConfigFile(
                "key.yaml", json.dumps({"service": _keys(secrets, is_monitored=is_monitored)}) + "\n", secret=True
            ),
        ),
        ports={"rest": REST_PORT, "grpc": GRPC_PORT},
        health=ExecCheck(("/bin/bash", "-c", _HEALTHY)),
        environment=_environment(settings, layout, asks_nodes=asks_nodes),
        stop_grace=STOP_GRACE,
        start_timeout=180.0,
        image=image(settings),
        publish={"rest": settings.rest_port(number), "grpc": settings.grpc_port(number)},
        memory=size_bytes(settings.memory),
    )


def _keys(secrets: Mapping[str, str], *, is_monitored: bool) -> dict[str, str]:
    """Return the key, and during a rotation the other one that is accepted: nodes need both for as long."""
    keys = dict(zip(("api_key", "alt_api_key"), values(secrets, API_KEY_SECRET), strict=False))
    return keys | ({"read_only_api_key": secrets[QDRANT_SECRET]} if is_monitored else {})


def _environment(settings: QdrantSettings, layout: Layout, *, asks_nodes: bool) -> dict[str, str]:
    """Return the environment, without the key: everybody who may inspect a container can read it."""
    values = {
        # Without a line for every request, which would push everything else out of a bounded log.
        "LOG_LEVEL": "INFO,actix_web::middleware::logger=WARN",
        "TELEMETRY_DISABLED": "true",
        "CLUSTER__ENABLED": "true",
        "CLUSTER__P2P__PORT": str(PEER_PORT),
        "SERVICE__HOST": layout.listen,
        "SERVICE__HTTP_PORT": str(REST_PORT),
        "SERVICE__GRPC_PORT": str(GRPC_PORT),
        # The default of 5 s is when clients give up idle connections too: some requests would meet a closed one.
        "SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC": "75",
        "SERVICE__ENABLE_TLS": "false",
        "SERVICE__ENABLE_CORS": "false",
        # Since 1.18 the port between the nodes can ask for the key as well.
        "SERVICE__ENFORCE_INTERNAL_AUTH": "true" if asks_nodes else "false",
        "SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY": "false",
        "STORAGE__STORAGE_PATH": layout.data_dir,
        # Within the data, so that a snapshot is neither lost with the container nor on another disk.
        "STORAGE__SNAPSHOTS_PATH": f"{layout.data_dir}/snapshots",
        # For collections that others make: as those of ragops, as long as nothing is known of their size.
        "STORAGE__COLLECTION__REPLICATION_FACTOR": str(settings.replication_factor or settings.nodes),
        "STORAGE__COLLECTION__WRITE_CONSISTENCY_FACTOR": str(
            least_copies(settings.replication_factor or settings.nodes)
        ),
        "STORAGE__COLLECTION__SHARD_NUMBER": str(settings.shards or 1),
    }
    # By default the server writes this file next to its program, into a folder that is read-only.
    return {f"QDRANT__{name}": value for name, value in values.items()} | {
        "QDRANT_INIT_FILE_PATH": f"{layout.data_dir}/.qdrant-initialized"
    }
