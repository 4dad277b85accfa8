"""The TimescaleDB service as a Pulumi component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from ragops.render import render
from ragops.services.contract import Endpoint, Login
from ragops.services.spec import ConfigFile, InitStep, ServiceSpec, TcpCheck
from ragops.services.timescaledb import APPLICATION_ROLE, APPLICATION_SECRET, OWNER_ROLE, OWNER_SECRET, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.spec import Layout, Runtime
    from ragops.services.timescaledb.settings import TimescaleSettings


@dataclass(frozen=True)
class TimescaleArgs:
    """What the component is made from; `secrets` by name."""

    settings: TimescaleSettings
    secrets: Mapping[str, str]
    runtime: Runtime


class Timescale(pulumi.ComponentResource):
    """PostgreSQL with scram logins for two roles and nobody else; `endpoint` says how to reach it."""

    def __init__(self, args: TimescaleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Timescale", "timescaledb", None, opts)
        self._args = args
        layout = args.runtime.layout("timescaledb")
        self.process = args.runtime.run(service_spec(args.settings, args.secrets, layout), self)
        self.endpoint = self._endpoint()
        self.register_outputs({"endpoint": self.endpoint.to_dict()})

    def _endpoint(self) -> Endpoint:
        runtime = self._args.runtime
        return Endpoint(
            service="timescaledb",
            engine="postgresql",
            version=VERSION,
            runtime=runtime.name,
            host="127.0.0.1",
            port=self._args.settings.port,
            handle=runtime.handle("timescaledb"),
            options={"database": self._args.settings.database},
            logins={
                "operator": Login(OWNER_ROLE, OWNER_SECRET),
                "application": Login(APPLICATION_ROLE, APPLICATION_SECRET),
            },
            capabilities=runtime.capabilities,
        )


def service_spec(settings: TimescaleSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """The service as a runtime sees it."""
    config = layout.config_dir
    return ServiceSpec(
        service="timescaledb",
        version=VERSION,
        command=("postgres", "-D", layout.data_dir, "-c", f"config_file={config}/postgresql.conf"),
        files=(
            ConfigFile("postgresql.conf", render("timescaledb/postgresql.conf.j2", settings=settings, layout=layout)),
            ConfigFile("pg_hba.conf", render("timescaledb/pg_hba.conf.j2", roles=(OWNER_ROLE, APPLICATION_ROLE))),
            ConfigFile("owner.password", secrets[OWNER_SECRET] + "\n", secret=True),
        ),
        ports={"timescaledb": settings.port},
        # Asked for a password it serves; while it recovers from a crash it answers with an error instead.
        health=TcpCheck(settings.port, _startup_packet(OWNER_ROLE, "postgres"), ("R",)),
        init=InitStep(_initdb(f"{config}/owner.password"), marker="PG_VERSION"),
        lock_files=("postmaster.pid",),
        stop_signal="SIGINT",  # fast shutdown; SIGTERM would wait for every client to leave
        stop_grace=60.0,
        start_timeout=120.0,
        needs_unprivileged_user=True,
    )


def _startup_packet(user: str, database: str) -> str:
    """What a client says first (PostgreSQL documentation, "Message Formats", StartupMessage)."""
    body = f"\x00\x03\x00\x00user\x00{user}\x00database\x00{database}\x00\x00"
    return (len(body) + 4).to_bytes(4).decode("latin-1") + body


def _initdb(password_file: str) -> tuple[str, ...]:
    return (
        "initdb", "--pgdata", "{data}", "--username", OWNER_ROLE, "--pwfile", password_file,
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
    )  # fmt: skip
