"""Every kind of collection is backed up, proven, restored in place and on a fresh server, and is equal then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from ragops.services.contract import Extent, Status
from ragops.services.qdrant.backup.backup import QdrantBackup
from ragops.services.qdrant.health import probe
from tests import backup_helpers
from tests.qdrant_processes import done
from tests.recovery_kinds.qdrant.kinds import KINDS, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recovery_kinds.qdrant.conftest import Site

pytestmark = [pytest.mark.kinds, pytest.mark.timeout(300)]
ENGINE = QdrantBackup()
EDGE = [kind for kind in KINDS if kind.edge]


def path(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"


def clear(site: Site) -> None:
    with site.http() as api:
        for item in done(api.get("/collections"))["collections"]:
            done(api.delete(path(item["name"])))


def make(site: Site, kind: Kind) -> None:
    with site.http() as api:
        done(api.put(path(kind.name), json=kind.body))
        for field, schema in kind.indexes.items():
            body = {"field_name": field, "field_schema": schema}
            done(api.put(f"{path(kind.name)}/index", params={"wait": "true"}, json=body))
        for key, points in kind.keys.items():
            done(api.put(f"{path(kind.name)}/shards", json={"shard_key": key}))
            _put(api, kind.name, points, shard_key=key)
        _put(api, kind.name, kind.points)
        for alias in kind.aliases:
            action = {"create_alias": {"alias_name": alias, "collection_name": kind.name}}
            done(api.post("/collections/aliases", json={"actions": [action]}))
        for method, where, body in kind.requests:
            done(api.request(method, f"{path(kind.name)}{where}", params={"wait": "true"} if where else {}, json=body))


def _put(api: Any, name: str, points: list[dict[str, Any]], **more: Any) -> None:
    if points:
        done(api.put(f"{path(name)}/points", params={"wait": "true"}, json={"points": points, **more}))


def look(site: Site) -> dict[str, Any]:
    """All that a server holds: points with vectors and payloads, parameters, indexes, aliases, shard keys."""
    with site.http() as api:
        names = sorted(item["name"] for item in done(api.get("/collections"))["collections"])
        aliases = {item["alias_name"]: item["collection_name"] for item in done(api.get("/aliases"))["aliases"]}
        return {"aliases": aliases, **{name: _collection(api, name) for name in names if name != "ragops-health"}}


def _collection(api: Any, name: str) -> dict[str, Any]:
    info = done(api.get(path(name)))
    shards = done(api.get(f"{path(name)}/cluster"))["local_shards"]
    return {
        "config": info["config"],
        "schema": info["payload_schema"],
        "keys": sorted(str(shard.get("shard_key")) for shard in shards),
        "points": _points(api, name),
    }


def _points(api: Any, name: str) -> list[Any]:
    found: list[Any] = []
    offset: Any = None
    while True:
        body = {"limit": 1000, "offset": offset, "with_vector": True, "with_payload": True}
        page = done(api.post(f"{path(name)}/points/scroll", json=body))
        found += page["points"]
        if (offset := page.get("next_page_offset")) is None:
            return sorted(found, key=lambda point: str(point["id"]))


def spoil(site: Site, kind: Kind) -> None:
    """Something that a restore has to undo."""
    with site.http() as api:
        emptied = api.post(f"{path(kind.name)}/points/delete", params={"wait": "true"}, json={"filter": {}})
        if emptied.status_code != 200:  # its limits, or its shard keys, are against it
            done(api.delete(path(kind.name)))
        done(api.put("/collections/later", json={"vectors": {"size": 2, "distance": "Dot"}}))


def there_and_back(here: Site, there: Site, kind: Kind, folder: Path) -> None:
    for site in (here, there):
        clear(site)
    make(here, kind)
    before = look(here)
    parts = backup_helpers.dump(ENGINE, here.endpoint, here.control, folder)
    assert ENGINE.prove(here.endpoint, here.control, folder, parts).extent is Extent.RESTORED
    ENGINE.preflight(here.endpoint, here.control, folder, parts)
    spoil(here, kind)
    ENGINE.restore(here.endpoint, here.control, folder, parts)
    assert look(here) == before
    ENGINE.restore(there.endpoint, there.control, folder, parts)
    assert look(there) == before
    for site in (here, there):
        checks = {check.name: check for check in probe(site.endpoint, 20).checks}
        assert {name: check.detail for name, check in checks.items() if check.status is not Status.OK} == {}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_on_real_servers(servers: tuple[Site, Site], kind: Kind, tmp_path: Path) -> None:
    there_and_back(*servers, kind, tmp_path / "point")


@pytest.mark.parametrize("kind", EDGE, ids=lambda kind: kind.what)
def test_on_the_development_engine(edges: tuple[Site, Site], kind: Kind, tmp_path: Path) -> None:
    there_and_back(*edges, kind, tmp_path / "point")


def test_there_are_kinds_enough() -> None:
    assert len({kind.what for kind in KINDS}) == len(KINDS) >= 60
