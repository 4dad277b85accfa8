"""Changes of aliases: worked out on a copy, so that a request is carried out whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.devserver.qdrant.creation import check_name
from ragops.devserver.qdrant.errors import exists, malformed, no_collection, not_found, quoted
from ragops.devserver.qdrant.values import Json, body_object, item_list, required

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


def changed(body: Json, aliases: Mapping[str, str], collections: Container[str]) -> dict[str, str]:
    """Return the aliases after every action of `body`. Raises ApiError."""
    result = dict(aliases)
    for item in item_list(required(body, "actions"), "actions"):
        action = body_object(item)
        if "create_alias" in action:
            _create(body_object(action["create_alias"]), result, collections)
        elif "delete_alias" in action:
            result.pop(_name(body_object(action["delete_alias"]), "alias_name"), None)
        elif "rename_alias" in action:
            _rename(body_object(action["rename_alias"]), result, collections)
        else:
            raise malformed(f"data did not match any variant of untagged enum AliasOperations: {quoted(action)}")
    return result


def _create(body: Json, aliases: dict[str, str], collections: Container[str]) -> None:
    collection, alias = _name(body, "collection_name"), _name(body, "alias_name")
    if collection not in collections:
        raise no_collection(collection)
    if alias in collections:
        raise exists(alias)
    check_name(alias)
    aliases[alias] = collection


def _rename(body: Json, aliases: dict[str, str], collections: Container[str]) -> None:
    old, new = _name(body, "old_alias_name"), _name(body, "new_alias_name")
    if old not in aliases:
        raise not_found(f"Alias {old} does not exists!")
    if new in collections:
        raise exists(new)
    check_name(new)
    aliases[new] = aliases.pop(old)


def _name(body: Json, field: str) -> str:
    value = required(body, field)
    if not isinstance(value, str):
        raise malformed(f"invalid type of `{field}`: {quoted(value)}, expected a string")
    return value


def listed(aliases: Mapping[str, str], collection: str | None = None) -> Json:
    """As `GET /aliases` shows them, of one collection where `collection` is given."""
    shown = [
        {"alias_name": alias, "collection_name": target}
        for alias, target in sorted(aliases.items())
        if collection in (None, target)
    ]
    return {"aliases": shown}
