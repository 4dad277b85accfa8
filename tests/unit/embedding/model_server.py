"""A small server of models for tests, over Ollama's protocol or OpenAI's, which misbehaves as it is told."""

from __future__ import annotations

import contextlib
import json
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIMENSIONS = 8


class ModelServer:
    """Vectors hold the length of their text. `misbehave` may return another answer: status, headers, body.

    `chat` returns the parts of an answer, which go to the client one by one; `left` is set if it leaves while one is
    waited for, which an empty one stands for. `listed` are the models that it lists.
    """

    def __init__(self, kind: str, dimensions: int = DIMENSIONS) -> None:  # noqa: C901  the handler counts as a part
        self.kind = kind
        self.dimensions = dimensions
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.misbehave: Callable[[list[str]], tuple[int, dict[str, str], bytes] | None] = lambda _texts: None
        self.release = threading.Event()  # of requests that hang
        self.chat: Callable[[dict[str, Any]], Iterator[bytes]] = lambda _body: iter(())
        self.chat_status, self.chat_type = 200, "text/event-stream"
        self.left = threading.Event()
        self.drops = False  # it sends its answers byte by byte
        self.listed: list[str] | None = ["m"]
        self.context = 1 << 30  # characters; a longer text is cut, or refused as Ollama does
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(body)
                outer.keys.append(self.headers.get("authorization", ""))
                if "messages" in body:
                    self.send_chat(body)
                    return
                answer = outer.misbehave(body["input"])
                if answer is None and not body.get("truncate", True):
                    answer = outer.refuse_long(body["input"])
                if answer is None:
                    answer = (200, {}, json.dumps(outer.answer(body["input"])).encode())
                self.send_whole(*answer)

            def do_GET(self) -> None:
                outer.keys.append(self.headers.get("authorization", ""))
                status, headers, content = 200, {}, b'{"error": "no such path"}'
                if outer.listed is None:
                    status = 404
                elif outer.kind == "ollama":
                    content = json.dumps({"models": [{"name": f"{one}:latest"} for one in outer.listed]}).encode()
                else:
                    content = json.dumps({"data": [{"id": one} for one in outer.listed]}).encode()
                self.send_whole(*(outer.misbehave([]) or (status, headers, content)))

            def send_chat(self, body: dict[str, Any]) -> None:
                self.close_connection = True
                parts = outer.chat(body)
                self.send_response(outer.chat_status)
                self.send_header("content-type", outer.chat_type)
                self.send_header("connection", "close")
                self.end_headers()
                try:
                    for part in parts:
                        if part:
                            self.wfile.write(part)
                        while (
                            not part and not outer.release.is_set()
                        ):  # it thinks, and looks whether the client is there
                            if select.select([self.connection], [], [], 0.02)[0]:
                                outer.left.set()
                                return
                except OSError:
                    outer.left.set()

            def send_whole(self, status: int, headers: dict[str, str], content: bytes) -> None:
                if not status:  # it dies
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if outer.drops:
                    for number in range(len(content)):
                        self.wfile.write(content[number : number + 1])
                        outer.release.wait(0.05)
                    return
                with contextlib.suppress(OSError):  # a client that has had enough
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, texts: list[str], vectors: list[Any] | None = None) -> dict[str, Any]:
        """An answer of the protocol, OpenAI's in another order than asked for."""
        read = [text[: self.context] for text in texts]
        found = [vector(text, self.dimensions) for text in read] if vectors is None else vectors
        if self.kind == "ollama":
            return {"model": "m", "embeddings": found}
        rows = [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(found)]
        return {"object": "list", "data": rows[::-1], "model": "m"}

    def refuse_long(self, texts: list[str]) -> tuple[int, dict[str, str], bytes] | None:
        """The refusal of Ollama of a request with a text beyond its context."""
        is_long = any(len(text) > self.context for text in texts)
        return self.error(400, "the input length exceeds the context length") if is_long else None

    def json(self, texts: list[str], vectors: list[Any]) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, json.dumps(self.answer(texts, vectors)).encode()

    def error(self, status: int, text: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        body = {"error": text} if self.kind == "ollama" else {"error": {"message": text, "type": "x"}}
        return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    return [float(len(text))] + [1.0] * (dimensions - 1)
