"""A repository in an object store, or on any server that fsspec reaches."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from ragops.adapters.storage.drivers import ATOMIC, BLOCK, GCS, S3, SFTP, connect
from ragops.adapters.storage.errors import explain, is_missing, is_refusal, is_transient, refusal_error
from ragops.adapters.storage.listing import is_absent, is_there, listing, make_entry, walk
from ragops.adapters.storage.names import PARTIAL, check_path, extract_password, find_secrets, is_temporary, redact_url
from ragops.adapters.storage.temp_files import DAY, is_leftover
from ragops.adapters.storage.uploads import TranslatingStream, Upload
from ragops.errors import RagopsError, StoreMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ragops.adapters.storage import FileEntry

_T = TypeVar("_T")
_BUFFER = 1 << 20
_TRIES = 4
# Runs write there at once, and some servers (rclone) remove a folder although a file in it is being written.
_SHARED = ("locks",)
_MISSING_HINT = "it may have been removed; list what is there with `ragops backup list`"


class ObjectStore:
    """Files below `url`, with `options` of fsspec's file system for its protocol. Nothing is asked before first use."""

    is_remote = True
    has_atomic_replace = False  # some servers have a moment without a file that is being replaced

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = redact_url(url).rstrip("/")
        self._protocol = url.partition("://")[0]
        self._url, self._options = url, dict(options or {})
        self._secrets = frozenset(find_secrets(self._options)) | ({extract_password(url)} - {""})
        self._lock = threading.Lock()
        self._pid, self._idle = os.getpid(), list[Any]()
        self._adds = False  # it is known to let nothing be renamed
        if self._protocol in (*S3, *GCS) and self.name != url.rstrip("/"):
            what = f"the url of {self.name} holds a user, a password or a query"
            raise UsageError("repository_options", what, "put keys into options_file, a YAML file that is 0600")

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        """See `Store`: a file that is visible at once first gets a temporary name; uploads end with the last part."""
        doing = f"write {check_path(path)}"
        with (
            self._named_refusal(path, doing),
            self._open_stream(doing, lambda files: self._upload(files, path)) as upload,
        ):
            raw = TranslatingStream(lambda call: self._translate(doing, call), sink=upload)
            stream = io.BufferedWriter(raw, _BUFFER)
            try:
                yield stream
                stream.close()
                self._translate(doing, upload.commit)
                self._adds = self._adds or upload.adds
            except BaseException:
                raw.abandoned = True
                upload.discard()
                raise
            finally:
                stream.close()

    @contextlib.contextmanager
    def open_read(self, path: str) -> Iterator[BinaryIO]:
        """See `Store`; memory holds two blocks at most."""
        doing = f"read {check_path(path)}"
        with self._open_stream(doing, lambda files: self._open(files, path)) as source:
            raw = TranslatingStream(lambda call: self._translate(doing, call), source=source)
            try:
                with io.BufferedReader(raw, _BUFFER) as stream:
                    yield stream
            finally:
                with contextlib.suppress(Exception):
                    source.close()

    def read_all(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """See `Store`."""
        wanted = [check_path(path) for path in paths]
        return self._again("read", lambda files: self._read_all(files, wanted)) if wanted else {}

    def list_entries(self, prefix: str = "") -> list[FileEntry]:
        """See `Store`; temporary files are not listed."""
        found = (item for item in self._all(prefix.strip("/")) if not is_temporary(item.path))
        return sorted(found, key=lambda item: item.path)

    def list_folders(self, prefix: str = "") -> list[str]:
        """See `Store`; one request for a thousand of them on S3."""

        def listed(files: Any) -> list[str]:
            found = listing(files, self._full(files, check_path(prefix) if prefix else ""))
            return sorted(info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory")

        return self._again(f"list {prefix}".strip(), listed)

    def remove(self, paths: Iterable[str]) -> None:
        """See `Store`; folders that this leaves empty go too."""
        for path in paths:
            self._remove(check_path(path))

    def free_bytes(self) -> int | None:
        """See `Store`: no server reports."""
        return None

    def clear_leftovers(self) -> None:
        """Remove what killed runs left: temporary files, and parts of uploads that are older than a day."""
        if self._protocol in S3:
            self._again("clear", self._abort_uploads)
        if self._protocol not in ATOMIC:
            for item in self._all("", self._is_left):
                self._remove(item.path)

    # --- connections: one for all threads if the library permits it, else one for each that is at work

    @contextlib.contextmanager
    def _open_stream(self, doing: str, begin: Callable[[Any], _T]) -> Iterator[_T]:
        """Yield what `begin` opened, and its connection until the block ends. Only the opening is retried."""
        with contextlib.ExitStack() as stack:

            def once() -> _T:
                with contextlib.ExitStack() as attempt:
                    begun = begin(attempt.enter_context(self._files()))
                    stack.push(attempt.pop_all())
                    return begun

            yield self._tried(doing, once)

    def _again(self, doing: str, call: Callable[[Any], _T]) -> _T:
        """`call` with a connection, again with a new one if that breaks off: for what may be done twice."""

        def once() -> _T:
            with self._files() as files:
                return call(files)

        return self._tried(doing, once)

    @contextlib.contextmanager
    def _files(self) -> Iterator[Any]:
        files = self._borrow()
        files.invalidate_cache()
        if self._protocol not in SFTP:
            yield files
            return
        try:
            yield files
        except BaseException:
            files.close()  # it may still hold answers of the failed request
            raise
        with self._lock:
            self._idle.append(files)

    def _borrow(self) -> Any:
        with self._lock:
            if self._pid != os.getpid():  # connections and threads of a parent are not ours
                self._pid, self._idle = os.getpid(), []
            if self._protocol not in SFTP:
                if not self._idle:
                    self._idle.append(connect(self._protocol, self._url, self._options))
                return self._idle[0]
            while self._idle:
                if (files := self._idle.pop()).alive():
                    return files
        return connect(self._protocol, self._url, self._options)

    # --- what may not be done

    @contextlib.contextmanager
    def _named_refusal(self, path: str, doing: str) -> Iterator[None]:
        """Distinguish a file that must not be replaced from keys that are good for nothing: it can be listed."""
        try:
            yield
        except RagopsError as error:
            there = False
            with contextlib.suppress(RagopsError):
                there = is_refusal(error) and self._is_there(path)
            if there:
                raise refusal_error(doing, self.name) from error
            raise

    def _is_there(self, path: str) -> bool:
        return self._again("list", lambda files: is_there(files, self._full(files, path)))

    # --- one step each

    def _upload(self, files: Any, path: str) -> Upload:
        return Upload(files, self._protocol, self._full(files, path), adds=self._adds)

    def _full(self, files: Any, path: str) -> str:
        root = str(files._strip_protocol(self._url.partition("?")[0])).rstrip("/")
        return f"{root}/{path}" if path else root

    def _open(self, files: Any, path: str) -> Any:
        full = self._full(files, path)
        if self._protocol in SFTP:
            return files.open_old(full)
        if self._protocol == "memory":
            return io.BytesIO(files.cat_file(full))  # its streams are one and the same for all readers
        try:
            stream = files.open(full, "rb", block_size=BLOCK, cache_type="readahead")
        except OSError as error:
            if is_absent(files, full, error):
                raise FileNotFoundError(full) from error
            raise
        if getattr(stream, "details", {}).get("type", "file") != "file":
            raise FileNotFoundError(full)
        return stream

    def _read_all(self, files: Any, paths: list[str]) -> dict[str, bytes]:
        full = {self._full(files, path): path for path in paths}
        found: dict[str, bytes] = {}
        for name, data in files.cat(list(full), on_error="return").items():
            if isinstance(data, BaseException):
                if not is_absent(files, name, data):
                    raise data
            else:
                found[full[name]] = bytes(data)
        return found

    def _all(self, prefix: str, wanted: Callable[[Any], bool] | None = None) -> list[FileEntry]:
        if prefix:
            check_path(prefix)

        def listed(files: Any) -> list[FileEntry]:
            start = len(self._full(files, "")) + 1
            infos = walk(files, self._full(files, prefix), atomic=self._protocol in ATOMIC)
            return [make_entry(info, start) for info in infos if wanted is None or wanted(info)]

        return self._again(f"list {prefix}".strip(), listed)

    def _remove(self, path: str) -> None:
        doing = f"remove {path}"
        try:
            self._again(doing, lambda files: files.rm_file(self._full(files, path)))
        except StoreMissingError:
            pass
        except RagopsError as error:
            if not is_refusal(error):
                raise
            if self._is_there(path):
                raise refusal_error(doing, self.name) from error
        if self._protocol not in ATOMIC:
            self._again(doing, lambda files: self._prune(files, path))

    def _prune(self, files: Any, path: str) -> None:
        with contextlib.suppress(OSError):  # not empty, most of the time; an empty folder is no harm
            while "/" in path:
                path = path.rpartition("/")[0]
                if path.rpartition("/")[2] in _SHARED:
                    return
                files.rmdir(self._full(files, path))

    def _is_left(self, info: dict[str, Any]) -> bool:
        name = str(info["name"]).rpartition("/")[2]
        changed = info.get("mtime") or info.get("created") or time.time()
        stamp = changed.timestamp() if hasattr(changed, "timestamp") else float(changed)
        return name.startswith(PARTIAL) and is_leftover(name, time.time() - stamp)

    def _abort_uploads(self, files: Any) -> None:
        bucket, _, folder = self._full(files, "").partition("/")
        for upload in files.list_multipart_uploads(bucket):
            ours = upload["Key"].startswith(f"{folder}/" if folder else "")
            if ours and time.time() - upload["Initiated"].timestamp() > DAY:
                files.abort_mpu(bucket, upload["Key"], upload["UploadId"])

    # --- failures

    def _translate(self, doing: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except RagopsError:
            raise
        except Exception as error:
            if is_missing(error) and not doing.startswith("write"):
                what = f"cannot {doing} in {self.name}: there is no such file"
                raise StoreMissingError("repository_file_missing", what, _MISSING_HINT) from error
            raise explain(error, doing, self.name, self._secrets) from error

    def _tried(self, doing: str, call: Callable[[], _T]) -> _T:
        """Call with a few tries; one if the library retries each request itself. Raises as `_translate` does."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        tries = Retrying(
            stop=stop_after_attempt(1 if self._protocol in ATOMIC else _TRIES),
            wait=wait_random_exponential(multiplier=0.3, max=5),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        return self._translate(doing, lambda: tries(call))
