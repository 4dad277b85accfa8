"""A tour of ragops on real engines: make a platform, lose its data, get them back. Checks what it shows.

Runs in a scratch folder on free ports. KEEP=1 leaves the platform up and says how to reach it. RUNTIME=docker shows the
full platform in containers: Kong, three Qdrant nodes, Redis, TimescaleDB.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions, packages_distributions, requires
from pathlib import Path
from typing import Any

RAGOPS = (sys.executable, "-m", "ragops")
RUNTIME = os.environ.pop("RUNTIME", "embedded")
MIN_COLLECTIONS, MIN_DOCUMENTS = 40, 50
DESCRIPTIONS = "package_descriptions"
IDENTITY = "identity.txt"
TABLES = ("collections", "documents", "chunks")
# Each with the document that answers it.
QUESTIONS = {
    "How do I retry a failing call with exponential backoff?": "tenacity.md",
    "Which package validates data with type annotations?": "pydantic.md",
    "How are progress bars and tables shown in the terminal?": "rich.md",
}
# Characters of what the functions and classes of a package say of themselves.
INTERFACE = 15_000


class Tour:
    """The steps of the demo in one scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = time.monotonic()

    def run(self, *arguments: str, expect: int = 0, show: bool = True) -> str:
        """Run one ragops command as a user would; its stdout, after checking its exit code."""
        began = time.monotonic()
        print(f"\n$ ragops {shlex.join(arguments)}", flush=True)
        together = subprocess.STDOUT if show else subprocess.PIPE  # as a terminal shows it, or the data apart
        done = subprocess.run(
            [*RAGOPS, *arguments],
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=together, timeout=600, check=False,
        )  # fmt: skip
        if show:
            print(indent(done.stdout))
        print(f"  ({time.monotonic() - began:.1f} s, exit {done.returncode})", flush=True)
        check(done.returncode == expect, f"exit {done.returncode} instead of {expect}\n{'' if show else done.stdout}")
        return done.stdout

    def json(self, *arguments: str, expect: int = 0) -> Any:
        """Run one ragops command with --json; its document."""
        return json.loads(self.run("--json", *arguments, expect=expect, show=False))


def indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def check(holds: bool, message: str) -> None:
    """End the tour with a message where something is not as it must be."""
    if not holds:
        raise SystemExit(f"demo failed: {message}")


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def collections_config() -> dict[str, Any]:
    """A collections-config.json of what is really there: one collection for each installed package, one of texts."""
    found = {}
    for item in distributions():
        name = item.metadata["Name"].lower().replace("-", "_").replace(".", "_")
        found[name] = {
            "name": f"{name}__hash",
            "directory": str(item.locate_file("")),
            "fileTypes": ["md", "txt", "py"],
            "version": item.version,  # a key that ragops does not know: it is kept, not dropped
        }
    texts = {"name": DESCRIPTIONS, "directory": "descriptions", "fileTypes": ["md"]}
    defaults = {"chunkSize": 800, "chunkOverlap": 100, "recursive": True}
    return {"collections": [texts, *(found[name] for name in sorted(found))], "defaults": {**defaults, "enabled": True}}


def descriptions() -> dict[str, str]:
    """The descriptions of the installed packages by file name, with the interfaces of those that ragops is built on."""
    direct = {
        re.split(r"[^\w.-]", line)[0].lower() for line in requires("ragops-platform") or [] if "extra" not in line
    }
    modules: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(name.lower(), []).append(module)
    found = {}
    for item in distributions():
        name, summary = item.metadata["Name"], item.metadata["Summary"] or ""
        text = item.metadata.get_payload() or item.metadata["Description"] or ""
        if isinstance(text, str) and len(text) > 200:
            parts = [f"# {name}", summary, text]
            if name.lower() in direct:
                parts += interface(sorted(modules.get(name.lower(), [])))
            found[f"{name.lower()}.md"] = "\n\n".join(part for part in parts if part)
    return found


def interface(modules: list[str]) -> list[str]:
    """What the public functions and classes of modules say of themselves, as Markdown."""
    parts, size = [], 0
    for module in modules:
        if module.startswith("_"):
            continue
        loaded = importlib.import_module(module)
        for name in sorted(getattr(loaded, "__all__", ())):
            member = getattr(loaded, name, None)
            text = inspect.getdoc(member) if inspect.isclass(member) or inspect.isfunction(member) else None
            if text and len(text) >= 40 and size < INTERFACE:
                parts.append(f"### `{module}.{name}`\n\n{text[:1500]}")
                size += len(parts[-1])
    return ["## Interface", *parts] if parts else []


def write_descriptions(folder: Path) -> int:
    """The descriptions as Markdown files; how many there are."""
    folder.mkdir()
    for name, text in descriptions().items():
        (folder / name).write_text(text)
    return len(list(folder.iterdir()))


def outputs(tour: Tour) -> dict[str, str]:
    done = subprocess.run(
        [*RAGOPS, "outputs", "--format", "json", "--show-secrets"],
        cwd=tour.folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    values: dict[str, str] = json.loads(done.stdout)
    return values


def fill_cache(values: dict[str, str], keys: int) -> None:
    """Some cached answers, written with the application's own login."""
    import redis

    client = redis.Redis.from_url(values["REDIS_URL"])
    client.mset({f"answer:{number}": f"cached answer {number}" for number in range(keys)})
    client.close()


def counts(values: dict[str, str]) -> dict[str, int]:
    """What the stores hold, asked over their own protocols."""
    import httpx
    import psycopg
    import redis

    with psycopg.connect(values["TIMESCALEDB_URL"]) as connection:
        rows = [connection.execute(f"SELECT count(*) FROM rag.{table}").fetchone() for table in TABLES]
    client = redis.Redis.from_url(values["REDIS_URL"])
    found = {table: int(row[0]) if row else 0 for table, row in zip(TABLES, rows, strict=True)}
    found["cached answers"] = len(list(client.scan_iter("answer:*")))
    client.close()
    answer = httpx.post(
        f"{values['QDRANT_URL']}/collections/{DESCRIPTIONS}/points/count",
        json={"exact": True},
        headers={"api-key": values["QDRANT_API_KEY"]},
    )
    found["points"] = int(answer.json()["result"]["count"])
    return found


def ask(tour: Tour, token: str) -> list[list[str]]:
    """Ask the questions through the gateway, as an application would; checks that the first passage is the right one."""
    answers = []
    for question, right in QUESTIONS.items():
        print(f"\n$ ragops query {shlex.quote(question)}")
        done = subprocess.run(
            [*RAGOPS, "--json", "query", question, "--collection", DESCRIPTIONS, "--limit", "3"],
            cwd=tour.folder, env={**os.environ, "RAGOPS_TOKEN": token}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        check(done.returncode == 0, f"the question was not answered: {done.stdout}{done.stderr}")
        result = json.loads(done.stdout)
        for passage in result["passages"]:
            print(f"  {passage['score']:.3f}  {passage['path']}: {' '.join(passage['text'].split())[:90]}")
        check(bool(result["passages"]), "no passage was found")
        first = result["passages"][0]["path"]
        check(first == right, f"{question} is answered by {first} instead of {right}")
        # Passages of one score come in any order: each shard of a cluster gives its own.
        answers.append(sorted(f"{passage['score']:.5f} {passage['id']}" for passage in result["passages"]))
    return answers


def closed_doors(values: dict[str, str]) -> None:
    """Without a token nobody gets in, and the inner paths are not there at all."""
    import httpx

    for path, expected in (("/api/v1/collections", 401), ("/internal/breakers", 404), ("/metrics", 404)):
        status = httpx.get(values["GATEWAY_URL"] + path).status_code
        print(f"  GET {path} without a token: {status}")
        check(status == expected, f"{path} answered {status} instead of {expected}")


def damage(tour: Tour) -> None:
    """What nobody wants to see: a table dropped, a vector collection deleted, the cache killed, its files gone."""
    from ragops.config import secrets

    project = tour.folder / ".ragops"
    owner = secrets.load(project / "secrets" / "default.json")["timescaledb_owner"]
    values = outputs(tour)
    import httpx
    import psycopg

    gone = httpx.delete(
        f"{values['QDRANT_URL']}/collections/{DESCRIPTIONS}", headers={"api-key": values["QDRANT_API_KEY"]}
    )
    check(gone.status_code == 200, f"the collection was not deleted: {gone.text}")
    where = f"host=127.0.0.1 port={values['TIMESCALEDB_PORT']} dbname={values['TIMESCALEDB_DATABASE']}"
    with psycopg.connect(f"{where} user=rag_owner password={owner}", autocommit=True) as connection:
        connection.execute("DROP TABLE rag.collections CASCADE")
    cache = {item["service"]: item for item in tour.json("status")["services"]}["redis"]
    if RUNTIME == "docker":
        kill_container(cache["ident"])
    else:
        os.kill(int(cache["ident"]), signal.SIGKILL)
        shutil.rmtree(project / "data" / "default" / "redis")
    print(
        f"  dropped rag.collections, deleted the vectors of {DESCRIPTIONS}, killed the cache (kill -9), removed its files"
    )


def kill_container(ident: str) -> None:
    """Kill a container and remove all files from its volume of data."""
    import docker

    client = docker.from_env()
    container = client.containers.get(ident)
    container.kill()
    volume = next(mount["Name"] for mount in container.attrs["Mounts"] if mount["Name"].endswith("-data"))
    client.containers.run(
        container.attrs["Image"], ["-c", "rm -rf /data/*"], entrypoint="sh", user="0", remove=True, network_mode="none",
        volumes={volume: {"bind": "/data", "mode": "rw"}},
    )  # fmt: skip
    client.close()


def init(tour: Tour) -> None:
    """A project; on Docker without a server of models, dashboards and alerts: hundreds of megabytes, and no step of it."""
    if RUNTIME == "embedded":
        tour.run("init", "--name", "demo")
        return
    tour.run("init", "--name", f"ragops-demo-{os.getpid()}", "--runtime", RUNTIME)
    config = tour.folder / "ragops.yaml"
    text = re.sub(r"(?m)^ollama:\n(?:[ #].*\n)*", "", config.read_text())
    text = re.sub(r"(?m)^observability:\n(?:[ #].*\n)*", "observability: off\n", text)
    config.write_text(text.replace("\napi:\n", "\napi:\n  embedder: {kind: static}\n"))


def tour_platform(tour: Tour) -> None:
    say("A new project: one file describes the platform.")
    init(tour)
    tour.run("doctor")
    say("Provision it, and look. A second time there is nothing to do.")
    tour.run("up")
    check(tour.json("up")["changes"] == [], "the second up changed something")
    tour.run("plan", "--exit-code")
    tour.run("status")
    say("Health says what is still missing, with its cure: the schema.")
    tour.run("health", expect=3)
    say("The rag schema, and a collections-config.json made from the packages of this environment.")
    tour.run("migrate", "up")
    config = collections_config()
    check(len(config["collections"]) >= MIN_COLLECTIONS, f"only {len(config['collections'])} packages found")
    (tour.folder / "collections-config.json").write_text(json.dumps(config, indent=2))
    imported = tour.json("migrate", "json-to-db", "collections-config.json")
    number = len(imported["added"])
    check(number == len(config["collections"]), f"imported {number}")
    again = tour.json("migrate", "json-to-db", "collections-config.json")
    check((again["added"], again["changed"]) == ([], []), f"the second import changed something: {again}")
    print(f"  {number} collections imported; a second import changes nothing")
    fill_cache(outputs(tour), keys=500)


def tour_questions(tour: Tour) -> str:
    """Read documents, ask; returns the token."""
    say("Real text: the descriptions of the packages of this environment, as documents, chunks and vectors.")
    documents = write_descriptions(tour.folder / "descriptions")
    check(documents >= MIN_DOCUMENTS, f"only {documents} descriptions found")
    tour.run("ingest", DESCRIPTIONS)
    again = tour.json("ingest", DESCRIPTIONS)["collections"][0]
    check((again["added"], again["changed"], again["unchanged"]) == (0, 0, documents), f"ingested again: {again}")
    print(f"  {documents} documents; reading them again changes nothing")
    say("Questions through the gateway, with a token; and doors that stay closed.")
    token = str(tour.json("token", "issue", "demo")["token"])
    closed_doors(outputs(tour))
    revoked(tour)
    return token


def revoked(tour: Tour) -> None:
    """A token that was revoked opens nothing any more, at once."""
    import httpx

    url = outputs(tour)["GATEWAY_URL"] + "/api/v1/collections"
    headers = {"authorization": f"Bearer {tour.json('token', 'issue', 'guest')['token']}"}
    before = httpx.get(url, headers=headers, timeout=30).status_code
    tour.json("token", "revoke", "guest")
    after = httpx.get(url, headers=headers, timeout=30).status_code
    check((before, after) == (200, 401), f"a token was answered {before}, and {after} after it was revoked")
    print(f"  with the token of a guest: {before}; after it was revoked: {after}")


def encrypt(tour: Tour) -> None:
    """Name the recipient and a second repository in ragops.yaml, as a person would."""
    recipient = str(tour.json("backup", "keygen", IDENTITY)["recipient"])
    config = tour.folder / "ragops.yaml"
    named = f"\nbackup:\n  recipients: [{recipient}]\n  copies: [offsite]\n"
    config.write_text(config.read_text().replace("\nbackup:\n", named))
    print(f"  encrypted to {recipient}")


def tour_loss(tour: Tour, token: str) -> None:
    answers = ask(tour, token)
    before = counts(outputs(tour))
    say("A key that opens recovery points, which nobody needs to write them; and a second repository.")
    encrypt(tour)
    say(f"A recovery point of {before}, all of one instant.")
    tour.run("backup", "run", "--quiesce")
    listed = tour.json("backup", "list")["points"][0]
    check(list(listed["copies"].values()) == [True, True], f"not whole in both repositories: {listed['copies']}")
    tour.run("backup", "list")
    tour.run("backup", "verify")
    say("Damage.")
    damage(tour)
    tour.run("health", expect=3)
    tour.run("drift", expect=4)
    say("Back again.")
    tour.run("restore", "latest", "--yes", "--identity", IDENTITY)
    after = counts(outputs(tour))
    check(after == before, f"restored {after} instead of {before}")
    print(f"  the same counts again: {after}")
    check(ask(tour, token) == answers, "the answers are not the same")
    print("\n  the same answers again")
    tour.run("health")
    check(tour.json("plan", "--exit-code")["changes"] == [], "the plan is not empty after the restore")
    print("  the plan is empty: what runs is what was provisioned")
    say("The proof that it would work again: the recovery point in a platform of its own, compared, taken down.")
    tour.run("backup", "drill", "latest", "--identity", IDENTITY)


def main() -> None:
    """Run the tour; leave nothing running unless KEEP is set."""
    folder = Path(tempfile.mkdtemp(prefix="ragops-demo-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when this is run by root
    tour = Tour(folder)
    try:
        tour_platform(tour)
        tour_loss(tour, tour_questions(tour))
    except BaseException:
        # What failed stays to be looked at, but for containers' volumes: they lie in no folder that one would find.
        end = ["down", "--yes", *(["--purge-data"] if RUNTIME == "docker" else [])]
        subprocess.run([*RAGOPS, *end], cwd=folder, capture_output=True, timeout=300, check=False)
        print(f"\nwhat is left of it: {folder}", file=sys.stderr)
        raise
    if os.environ.get("KEEP"):
        say(f"Left up, as KEEP is set: cd {folder}; ragops status; ragops outputs. To end it: ragops down")
    else:
        say("Stop everything; data stay until they are removed by name.")
        tour.run("down", "--yes", "--purge-data")
        shutil.rmtree(folder)
    print(f"\nThe tour took {time.monotonic() - tour.started:.0f} s; everything it showed was checked.")


if __name__ == "__main__":
    main()
