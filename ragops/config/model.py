"""Settings: the values of ragops.yaml, composed from the services' own settings."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ragops.config.backup import BackupSettings
from ragops.runtimes import registry
from ragops.services import sections

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["hybrid", "dense", "sparse"]
# Those of which the model `qdrant/bm25` has stop words, and a stemmer if there is one.
Language = Literal[
    "arabic", "azerbaijani", "basque", "bengali", "catalan", "chinese", "danish", "dutch", "english", "finnish",
    "french", "german", "greek", "hebrew", "hinglish", "hungarian", "indonesian", "italian", "japanese", "kazakh",
    "nepali", "norwegian", "portuguese", "romanian", "russian", "slovene", "spanish", "swedish", "tajik", "turkish",
]  # fmt: skip


class SearchSettings(BaseModel):
    """Section `search:`; `ragops ingest` makes the vectors that the mode needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        "hybrid",
        description="hybrid: by meaning and by words, fused by rank; dense: vectors alone; sparse: words alone, which"
        " needs no embedder",
    )
    language: Language = Field(
        "english",
        description="stop words and stems of the search by words; collections keep theirs until they are built again",
    )
    least_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="how near a passage must be that shares too few words with the question; empty: the embedder's own",
    )


# Part of folder names, resource names, container names and SQL: nothing that any of them would have to quote.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]

# Part of one line of a rendered file: a line break would begin another.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]


LOOPBACK = "127.0.0.1"


def _is_address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise ValueError("is not an address of this machine: use 127.0.0.1, 0.0.0.0, ::1 or ::") from error
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError(
            f"has a zone ({address.scope_id}), which Docker does not take: leave out the % and what follows"
        )
    return str(address)


def _is_runtime(name: str) -> str:
    if name not in registry.names():
        expected = " or ".join(map(repr, registry.names()))
        raise PydanticCustomError("literal_error", "should be {expected}", {"expected": expected})
    return name


def _uses_images(runtime: str) -> bool:
    return registry.facts(runtime).traits.uses_images


RuntimeName = Annotated[str, AfterValidator(_is_runtime)]
Address = Annotated[str, AfterValidator(_is_address)]


class PulumiSettings(BaseModel):
    """Section `pulumi:`: where the state lives and what encrypts its secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Line = Field("", description="state backend URL; empty: a folder under .ragops/")
    secrets_provider: Line = Field("passphrase", description="`passphrase` or the URL of a KMS key")


class _Expose(BaseModel):
    """Section `expose:`: the address of this machine that the ports of a service are published on (docker runtime)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def addresses(self) -> dict[str, str]:
        """Return the addresses by service."""
        return dict(self.model_dump())


if TYPE_CHECKING:
    ExposeSettings = _Expose
else:
    ExposeSettings = create_model(
        "ExposeSettings",
        __base__=_Expose,
        __doc__=_Expose.__doc__,
        **{name: (Address, Field(LOOPBACK, description=text)) for name, text in sections.exposable().items()},
    )


class Settings(sections.Sections):
    """The whole of ragops.yaml: the keys of the platform, and a section of each service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="name of the platform")
    runtime: RuntimeName = Field(
        registry.DEFAULT, description="what runs the services: processes from wheels, or containers"
    )
    data_dir: Line = Field("", description="folder of the services' data; empty: .ragops/data")
    run_as: Line = Field(
        "", description="user for engines that refuse root; empty: postgres, or an unprivileged user without it"
    )
    expose: ExposeSettings = ExposeSettings()
    pulumi: PulumiSettings = PulumiSettings()
    backup: BackupSettings = BackupSettings()
    search: SearchSettings = SearchSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_switches(cls, values: Any) -> Any:
        return _with_switches(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _models_have_a_server(self) -> Settings:
        if self.ollama and not _uses_images(self.runtime):
            others = " or ".join(name for name in registry.names() if _uses_images(name))
            raise ValueError(f"ollama: is for the {others} runtime; here name a server in api.embedder.ollama_url")
        if self.ollama and (lacking := self.ollama.lacks(self.api.own_models())):
            raise ValueError(f"ollama.models lacks {lacking[0]}, which api: asks it for")
        if not self.ollama and self.api.chat.model in self.api.own_models():
            raise ValueError("api.chat.model needs api.chat.ollama_url, api.embedder.ollama_url, or a section ollama:")
        if not self.ollama and (without := self.api.models_without_server()):
            raise ValueError(f"api.models.{without[0]} needs a url, api.embedder.ollama_url, or a section ollama:")
        return self

    def section(self, service: str) -> Any:
        """Return the settings of one service; None for an optional one without a section."""
        return getattr(self, service)

    def ports(self) -> dict[tuple[str, str], int]:
        """Return every port of this machine that is listened on, by its key in ragops.yaml: service, then key.

        Several that follow from one key have more words after it, after a comma.
        """
        return sections.ports(self, uses_images=_uses_images(self.runtime))


def _with_switches(values: Mapping[str, Any]) -> dict[str, Any]:
    runtime = values.get("runtime") or registry.DEFAULT
    return sections.with_switches(values, uses_images=runtime in registry.names() and _uses_images(str(runtime)))


def find_ports(values: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Return the ports in the values of a ragops.yaml, whatever else is wrong with them."""
    values = _with_switches(values)
    found: dict[str, Any] = {
        "name": "",
        "runtime": values.get("runtime") if values.get("runtime") in registry.names() else registry.DEFAULT,
    }
    for name, field in Settings.model_fields.items():
        models = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        model = next((kind for kind in models if issubclass(kind, BaseModel)), None)
        if model is not None and (field.default is not None or values.get(name) is not None):
            found[name] = _lenient(model, values.get(name))
    return Settings.model_construct(None, **found).ports()


def _lenient(model: type[BaseModel], section: Any) -> BaseModel:
    given = section if isinstance(section, dict) else {}
    try:
        return model.model_validate(given)
    except ValidationError:
        ports = {key: given[key] for key in given if key.endswith("port") and isinstance(given[key], int)}
        return model.model_construct(**ports)
