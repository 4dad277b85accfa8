"""The paths that are served, and the answer to all the others."""

from __future__ import annotations

import shutil
import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ragops.devserver.qdrant import API_VERSION, TITLE, aliases, creation, snapshots
from ragops.devserver.qdrant.collection import Collection
from ragops.devserver.qdrant.engine import Engine
from ragops.devserver.qdrant.errors import not_found, translate, unsupported
from ragops.devserver.qdrant.guard import Guard
from ragops.devserver.qdrant.http import endpoint, failure, json_body, uploaded
from ragops.devserver.qdrant.metrics import Metrics
from ragops.devserver.qdrant.values import plain_id, point_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.requests import Request

    from ragops.devserver.qdrant.storage import Storage
    from ragops.devserver.qdrant.values import Json

    Handler = Callable[[Request], Awaitable[Any]]

_COLLECTION = "/collections/{name}"
_POINTS = f"{_COLLECTION}/points"
_SNAPSHOTS = f"{_COLLECTION}/shards/{{shard}}/snapshots"
# The first folders of Qdrant's API; any other path is not Qdrant's.
_QDRANT = (
    "/collections", "/aliases", "/cluster", "/snapshots", "/telemetry", "/issues", "/logger", "/stacktrace",
    "/dashboard", "/quotas", "/audit", "/debugger", "/profiler", "/locks",
)  # fmt: skip


def make_app(storage: Storage, keys: Callable[[], Sequence[str]]) -> Starlette:
    """Return the ASGI application on an opened `storage`; `keys` are the valid ones."""
    api = Api(Engine(storage))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with api.engine.running():
            yield

    guard = Middleware(Guard, keys=keys, metrics=api.metrics)
    app = Starlette(routes=api.routes(), middleware=[guard], lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


class _SnapshotResponse(FileResponse):
    chunk_size = 1 << 20  # every chunk is a change of threads


class Api:
    """A handler for each path: takes the request apart, asks the engine, returns the result."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.storage = engine.storage
        self.metrics = Metrics()

    def routes(self) -> list[Route]:
        """All that is served; the order decides between patterns that match the same path."""
        table: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/collections", self._list),
            ("POST", "/collections/aliases", self._change_aliases),
            ("GET", "/aliases", self._aliases),
            ("GET", _COLLECTION, self._describe),
            ("PUT", _COLLECTION, self._create),
            ("DELETE", _COLLECTION, self._delete),
            ("GET", f"{_COLLECTION}/exists", self._exists),
            ("GET", f"{_COLLECTION}/aliases", self._aliases_of),
            ("GET", f"{_COLLECTION}/cluster", self._shards),
            ("PUT", f"{_COLLECTION}/index", self._writes(Collection.create_index)),
            ("DELETE", f"{_COLLECTION}/index/{{field}}", self._unindex),
            ("PUT", _POINTS, self._writes(Collection.upsert)),
            ("POST", _POINTS, self._reads(Collection.retrieve)),
            ("POST", f"{_POINTS}/delete", self._writes(Collection.delete_points)),
            ("POST", f"{_POINTS}/scroll", self._reads(Collection.scroll)),
            ("POST", f"{_POINTS}/count", self._reads(lambda found, body: {"count": found.count(body)})),
            ("POST", f"{_POINTS}/query", self._reads(lambda found, body: {"points": found.query(body)})),
            ("GET", f"{_POINTS}/{{id}}", self._point),
            ("POST", _SNAPSHOTS, self._snapshot),
            ("GET", _SNAPSHOTS, self._snapshots),
            ("POST", f"{_SNAPSHOTS}/upload", self._upload),
            ("DELETE", f"{_SNAPSHOTS}/{{snapshot}}", self._delete_snapshot),
        )
        served = [Route(path, endpoint(path, handler), methods=[method]) for method, path, handler in table]
        plain = (
            ("/", self._root), ("/healthz", self._alive), ("/livez", self._alive), ("/readyz", self._ready),
            ("/metrics", self._metrics), (f"{_SNAPSHOTS}/{{snapshot}}", self._download),
        )  # fmt: skip
        served += [Route(path, handler, methods=["GET"]) for path, handler in plain]
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        return [*served, Route("/{rest:path}", self._elsewhere, methods=methods)]

    # --- the service --------------------------------------------------------------------------------------------

    async def _root(self, _: Request) -> Response:
        return JSONResponse({"title": TITLE, "version": API_VERSION, "engine": version("qdrant-edge-py")})

    async def _alive(self, _: Request) -> Response:
        return PlainTextResponse("healthz check passed")

    async def _ready(self, _: Request) -> Response:
        if self.storage.faults():
            return PlainTextResponse("some shards are not ready", 503)
        return PlainTextResponse("all shards are ready")

    async def _metrics(self, _: Request) -> Response:
        points: dict[str, int] = {}
        for name, collection in list(self.storage.collections.items()):
            if not collection.fault:
                points[name] = await self.engine.read(name, lambda found: found.count({}))
        page = self.metrics.render(points, len(self.storage.faults()), version("qdrant-edge-py"))
        return PlainTextResponse(page, media_type="text/plain; version=0.0.4")

    async def _elsewhere(self, request: Request) -> Response:
        path = request.scope["path"]
        if any(path == prefix or path.startswith(f"{prefix}/") for prefix in _QDRANT):
            return failure(unsupported(f"{request.method} {path}"), time.monotonic())
        return Response(status_code=404)

    # --- collections and aliases --------------------------------------------------------------------------------

    async def _list(self, _: Request) -> Json:
        return {"collections": [{"name": name} for name in sorted(self.storage.collections)]}

    async def _describe(self, request: Request) -> Json:
        return await self.engine.read(_name(request), lambda found: found.describe())

    async def _create(self, request: Request) -> bool:
        await self.engine.create(creation.parse(_name(request), await self._body(request)))
        return True

    async def _delete(self, request: Request) -> bool:
        return await self.engine.delete(_name(request))

    async def _exists(self, request: Request) -> Json:
        name = _name(request)
        return {"exists": self.storage.aliases.get(name, name) in self.storage.collections}

    async def _shards(self, request: Request) -> Json:
        points = await self.engine.read(_name(request), lambda found: found.count({}))
        shard = {"shard_id": 0, "points_count": points, "state": "Active"}
        return {
            "peer_id": self.storage.peer_id,
            "shard_count": 1,
            "local_shards": [shard],
            "remote_shards": [],
            "shard_transfers": [],
        }

    async def _change_aliases(self, request: Request) -> bool:
        await self.engine.change_aliases(await self._body(request))
        return True

    async def _aliases(self, _: Request) -> Json:
        return aliases.listed(self.storage.aliases)

    async def _aliases_of(self, request: Request) -> Json:
        return aliases.listed(self.storage.aliases, self.storage.get(_name(request)).name)

    # --- points -------------------------------------------------------------------------------------------------

    def _reads(self, work: Callable[[Collection, Json], Any]) -> Handler:
        """Return a handler that does `work` with the body."""

        async def handle(request: Request) -> Any:
            body = await self._body(request)
            return await self.engine.read(_name(request), lambda found: work(found, body))

        return handle

    def _writes(self, work: Callable[[Collection, Json], None]) -> Handler:
        """Return a handler that does `work` with the body, a change."""

        async def handle(request: Request) -> Json:
            body = await self._body(request)
            return await self._write(request, lambda found: work(found, body))

        return handle

    async def _write(self, request: Request, work: Callable[[Collection], None]) -> Json:
        """Change the collection: every change is complete by now, the status follows `wait` as Qdrant's does."""
        await self.engine.write(_name(request), work)
        return {"status": "completed" if request.query_params.get("wait") == "true" else "acknowledged"}

    async def _unindex(self, request: Request) -> Json:
        return await self._write(request, lambda found: found.delete_index(request.path_params["field"]))

    async def _point(self, request: Request) -> Json:
        text: str = request.path_params["id"]
        wanted = plain_id(point_id(int(text) if text.isascii() and text.isdigit() else text))
        body = {"ids": [wanted], "with_payload": True, "with_vector": True}
        found = await self.engine.read(_name(request), lambda found: found.retrieve(body))
        if not found:
            raise not_found(f"Point with id {wanted} does not exists!")
        return found[0]

    # --- snapshots ----------------------------------------------------------------------------------------------

    async def _snapshot(self, request: Request) -> Json:
        return await self.engine.snapshot(self._of_shard(request), request.query_params.get("name", ""))

    async def _snapshots(self, request: Request) -> list[Json]:
        return await self.engine.read(self._of_shard(request), snapshots.listed)

    async def _delete_snapshot(self, request: Request) -> bool:
        name = request.path_params["snapshot"]
        return await self.engine.write(self._of_shard(request), lambda found: snapshots.delete(found, name))

    async def _download(self, request: Request) -> Response:
        request.scope["ragops.pattern"] = f"{_SNAPSHOTS}/{{snapshot}}"
        try:
            name = request.path_params["snapshot"]
            path = await self.engine.read(self._of_shard(request), lambda found: snapshots.find(found, name))
        except Exception as error:
            return failure(translate(error), time.monotonic())
        return _SnapshotResponse(path, media_type="application/x-tar", filename=path.name)

    async def _upload(self, request: Request) -> None:
        name = self._of_shard(request)
        if request.query_params.get("priority", "replica") != "snapshot":
            raise unsupported("A priority other than `snapshot`")
        async with uploaded(request, self.storage.incoming, self._free) as path:
            await self.engine.upload(name, path, request.query_params.get("checksum"))

    def _free(self) -> int:
        return shutil.disk_usage(self.storage.folder).free

    def _of_shard(self, request: Request) -> str:
        """Return the collection's name. Raises ApiError (404) if it, or the shard, does not exist."""
        name, shard = _name(request), request.path_params["shard"]
        self.storage.get(name)
        if shard != "0":
            raise not_found(f"shard {shard} not found")
        return name

    async def _body(self, request: Request) -> Json:
        return await json_body(request, self.engine.run)


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name
