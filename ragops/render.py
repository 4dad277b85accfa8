"""Renders what services read; an undefined name in a template is an error, never an empty string."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ragops.resources import templates_dir

_COMMON_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_REDIS_ESCAPES = {**_COMMON_ESCAPES, '"': '\\"'}
_POSTGRES_ESCAPES = {**_COMMON_ESCAPES, "'": "''"}


def render(template: str, **values: object) -> str:
    """Render `templates/<template>` with `values`.

    Raises jinja2.UndefinedError for a name that `values` lacks, jinja2.TemplateNotFound for an unknown template.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    """Return the one environment of this process, which compiles each template once."""
    environment = Environment(
        loader=FileSystemLoader(templates_dir()),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )
    environment.filters.update(redis_string=redis_string, postgres_string=postgres_string)
    return environment


def redis_string(text: str) -> str:
    """`text` as one argument of redis.conf: a folder's name may hold spaces and quotes."""
    return '"' + "".join(_REDIS_ESCAPES.get(letter, letter) for letter in text) + '"'


def postgres_string(text: str) -> str:
    """`text` as a quoted value of postgresql.conf."""
    return "'" + "".join(_POSTGRES_ESCAPES.get(letter, letter) for letter in text) + "'"
