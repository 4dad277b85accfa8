"""The TimescaleDB service as a Pulumi component, tuned to the memory and processors that it is given."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pulumi

from ragops.render import render
from ragops.services.contract import Endpoint, Login
from ragops.services.image_references import tag
from ragops.services.monitoring import DATABASE_ROLE, DATABASE_SECRET, MONITOR
from ragops.services.spec import (
    ConfigFile,
    ExecCheck,
    HealthCheck,
    ImageSpec,
    InitStep,
    ServiceSpec,
    TcpCheck,
    local_endpoint,
)
from ragops.services.timescaledb import (
    APPLICATION_ROLE,
    APPLICATION_SECRET,
    ENGINE,
    IMAGE,
    IMAGE_ENGINE,
    OWNER_ROLE,
    OWNER_SECRET,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Declaration
    from ragops.services.spec import Layout, Runtime
    from ragops.services.timescaledb.settings import TimescaleSettings


_INNER_PORT = 5432
_SOCKET = "/var/run/postgresql"
_USER = "postgres"
_BUILTIN_SINCE = 17  # PostgreSQL that has collations of its own


class Timescale(pulumi.ComponentResource):
    """PostgreSQL with scram logins for two roles only; `endpoint` is its address and logins."""

    def __init__(self, declaration: Declaration, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Timescale", "timescaledb", None, opts)
        settings, secrets, runtime = declaration.settings, declaration.secrets, declaration.runtime
        layout = runtime.layout("timescaledb", image_spec(settings))
        self.process = runtime.run(service_spec(settings, secrets, layout), self)
        self.endpoint = endpoint(settings, runtime, layout, is_monitored=declaration.is_monitored)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def endpoint(settings: TimescaleSettings, runtime: Runtime, layout: Layout, *, is_monitored: bool = False) -> Endpoint:
    """Return how to reach it; `socket` is for its own tools if they run next to it in an image."""
    options = {"database": settings.database}
    if layout.uses_images:
        options |= {"socket": _SOCKET, "postgresql": str(_major(settings)), "license": settings.license}
    return local_endpoint(
        "timescaledb",
        runtime,
        layout,
        engine=IMAGE_ENGINE if layout.uses_images else ENGINE,
        version=_version(settings, layout),
        port=settings.port,
        inner_port=_INNER_PORT,
        options=options,
        logins={
            "operator": Login(OWNER_ROLE, OWNER_SECRET),
            "application": Login(APPLICATION_ROLE, APPLICATION_SECRET),
            **({MONITOR: Login(DATABASE_ROLE, DATABASE_SECRET)} if is_monitored else {}),
        },
    )


def image_spec(settings: TimescaleSettings) -> ImageSpec:
    """Return the image and what is known of its inside."""
    return ImageSpec(
        reference=settings.image or IMAGE,
        mount="/var/lib/postgresql/data",
        user=_USER,
        writable=(_SOCKET, "/tmp"),  # noqa: S108  inside the image
        hot_dir="/etc/ragops-hot",
    )


def service_spec(settings: TimescaleSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """Return the service as a runtime sees it."""
    config, port = layout.config_dir, layout.port(settings.port, _INNER_PORT)
    return ServiceSpec(
        service="timescaledb",
        version=_version(settings, layout),
        command=("postgres", "-D", layout.data_dir, "-c", f"config_file={config}/postgresql.conf"),
        files=_files(settings, secrets, layout, port),
        hot=layout.split(_owner_password(secrets))[1],
        ports={"timescaledb": port},
        health=_health(port, layout),
        init=InitStep(_initdb(f"{layout.changing_dir}/owner.password", _locale(settings, layout)), marker="PG_VERSION"),
        lock_files=("postmaster.pid",),
        stop_signal="SIGINT",  # fast shutdown; SIGTERM would wait for every client to leave
        stop_grace=60.0,
        start_timeout=120.0,
        needs_unprivileged_user=True,
        image=image_spec(settings),
        publish={"timescaledb": settings.port},
        memory=settings.memory_bytes,
        shm=shared_memory(settings),
    )


def _files(
    settings: TimescaleSettings, secrets: Mapping[str, str], layout: Layout, port: int
) -> tuple[ConfigFile, ...]:
    socket, tuned = (_SOCKET, parameters(settings)) if layout.uses_images else ("", {})
    conf = render(
        "timescaledb/postgresql.conf.j2", settings=settings, layout=layout, port=port, socket=socket, parameters=tuned
    )
    # That of exporters stands here even if there is none: so no switch of observability restarts the database.
    roles = (OWNER_ROLE, APPLICATION_ROLE, DATABASE_ROLE)
    files = (
        ConfigFile("postgresql.conf", conf),
        ConfigFile(
            "pg_hba.conf", render("timescaledb/pg_hba.conf.j2", roles=roles, networked=bool(layout.internal_host))
        ),
        *layout.split(_owner_password(secrets))[0],
    )
    # The owner of the data inside the image is the operator: it could read and change them anyway.
    own = (ConfigFile("pg_ident.conf", f"ragops  {_USER}  {OWNER_ROLE}\n"),) if layout.uses_images else ()
    return files + own


def _owner_password(secrets: Mapping[str, str]) -> ConfigFile:
    """Read once, by what makes an empty data folder: a password that changes restarts nothing."""
    return ConfigFile("owner.password", secrets[OWNER_SECRET] + "\n", secret=True)


def _version(settings: TimescaleSettings, layout: Layout) -> str:
    return tag(image_spec(settings).reference).removeprefix("v") if layout.uses_images else VERSION


def _major(settings: TimescaleSettings) -> int:
    """Return PostgreSQL's major version by the image's tag, 0 if it states none."""
    found = re.search(r"pg(\d+)", tag(image_spec(settings).reference))
    return int(found[1]) if found else 0


def _health(port: int, layout: Layout) -> HealthCheck:
    """Whether it lets clients in: while it recovers from a crash it answers with an error instead."""
    if layout.uses_images:
        # As the operator: a user that may not log in would be a line in the server's log each time.
        return ExecCheck(("pg_isready", "-q", "-h", _SOCKET, "-p", str(port), "-U", OWNER_ROLE, "-d", "postgres"))
    return TcpCheck(port, _startup_packet(OWNER_ROLE, "postgres"), ("R",))  # asked for a password it serves


def _startup_packet(user: str, database: str) -> str:
    """Return the first message of a client (PostgreSQL documentation, "Message Formats", StartupMessage)."""
    body = f"\x00\x03\x00\x00user\x00{user}\x00database\x00{database}\x00\x00"
    return (len(body) + 4).to_bytes(4).decode("latin-1") + body


def _locale(settings: TimescaleSettings, layout: Layout) -> tuple[str, ...]:
    """Return the locale: order by code point, by PostgreSQL's own if it has one, for C libraries differ."""
    own = layout.uses_images and _major(settings) >= _BUILTIN_SINCE
    return ("--locale=C.UTF-8", *(("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if own else ()))


def _initdb(password_file: str, locale: tuple[str, ...]) -> tuple[str, ...]:
    return (
        "initdb", "--pgdata", "{data}", "--username", OWNER_ROLE, "--pwfile", password_file,
        "--auth=scram-sha-256", "--encoding=UTF8", *locale, "--data-checksums",
    )  # fmt: skip


_MIB = 1 << 20
_GIB = 1 << 30

_BACKGROUND_WORKERS = 16  # TimescaleDB's own default: one scheduler for each database and its jobs
_OWN_WORKERS = 3  # checkpointer, writer of the log, autovacuum launcher


def tune(memory: int, cpus: int, connections: int) -> dict[str, str]:
    """Return settings for `memory` bytes, `cpus` processors, `connections` at most, by name in postgresql.conf.

    A quarter of the memory for shared_buffers and three for effective_cache_size: PostgreSQL documentation, "Resource
    Consumption" and "Planner Cost Constants", and timescaledb-tune (pkg/pgtune/memory.go), which the rest follows too:
    an eighth, at most 2047 MB, for maintenance_work_mem; 128 MB for each GB, shared by all connections and by half the
    processors, for work_mem (never under PostgreSQL's default of 4 MB); workers for all processors in addition to
    TimescaleDB's own, half of them for one query (parallel.go); locks for the chunks of large hypertables, twice
    of which a dump takes at once (256 are room for 25,000). More than one
    GB of write-ahead log if there is memory to fill it, so that bulk loads do not force checkpoints.
    """
    half = max(1, round(cpus / 2))
    log = min(max(memory, _GIB), 4 * _GIB)
    return {
        "shared_buffers": _megabytes(memory // 4),
        "effective_cache_size": _megabytes(memory * 3 // 4),
        "maintenance_work_mem": _megabytes(min(memory // 8, 2047 * _MIB)),
        "work_mem": _megabytes(max(memory // 8 // connections // half, 4 * _MIB)),
        "max_wal_size": _megabytes(log),
        "min_wal_size": _megabytes(log // 2),
        "max_worker_processes": str(_OWN_WORKERS + _BACKGROUND_WORKERS + cpus),
        "max_parallel_workers": str(cpus),
        "max_parallel_workers_per_gather": str(half if cpus > 1 else 0),
        "max_locks_per_transaction": str(min(max(memory // _GIB * 128, 256), 1024)),
        "random_page_cost": "1.1",
        "timescaledb.max_background_workers": str(_BACKGROUND_WORKERS),
    }


def parameters(settings: TimescaleSettings) -> Mapping[str, str]:
    """`tuned` for the settings; their own values win."""
    locks = str(settings.max_locks_per_transaction or "")
    stated = {
        "shared_buffers": settings.shared_buffers,
        "work_mem": settings.work_mem,
        "max_locks_per_transaction": locks,
    }
    cpus = settings.cpus or os.cpu_count() or 1
    found = tune(settings.memory_bytes, cpus, settings.max_connections)
    return {**found, **{name: value for name, value in stated.items() if value}}


def shared_memory(settings: TimescaleSettings) -> int:
    """Bytes of /dev/shm: parallel queries exchange rows and build hashes there, and Docker's 64 MB end them.

    Its pages count as the container's memory, and only once they are used.
    """
    return max(64 * _MIB, settings.memory_bytes // 2)


def _megabytes(size: int) -> str:
    return f"{size // _MIB}MB"
