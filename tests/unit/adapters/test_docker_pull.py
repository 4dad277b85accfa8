"""What Docker says of a pull, added up."""

from __future__ import annotations

from ragops.adapters.docker.images import PullState


def event(status: str, name: str = "", current: int | None = None, total: int | None = None) -> dict:
    detail = {"current": current, "total": total} if current is not None else {}
    return {"status": status, "id": name, "progressDetail": detail}


def test_layers_are_added_up() -> None:
    state = PullState("redis:8.0.2")
    assert not state.feed(event("Pulling from library/redis", "8.0.2"))
    for name in ("a", "b", "c"):
        state.feed(event("Pulling fs layer", name))
    state.feed(event("Already exists", "c"))
    state.feed(event("Downloading", "a", 10, 100))
    assert state.feed(event("Downloading", "b", 5, 50))
    assert (state.progress.done, state.progress.total) == (15, 150)
    assert (state.progress.layers_done, state.progress.layers) == (1, 3)
    assert not state.feed(event("Downloading", "b", 5, 50))
    state.feed(event("Download complete", "a"))
    state.feed(event("Extracting", "a", 70, 300))  # counts what is unpacked, which is another size
    assert (state.progress.done, state.progress.total) == (105, 150)
    state.feed(event("Pull complete", "a"))
    assert state.progress.layers_done == 2
    assert not state.feed({"status": "Status: Downloaded newer image for redis:8.0.2"})


def test_a_second_attempt_does_not_go_backwards() -> None:
    state = PullState("x")
    state.feed(event("Downloading", "a", 80, 100))
    state.feed(event("Downloading", "a", 3, 100))
    assert state.progress.done == 80
