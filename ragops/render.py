"""Renders what services read; an undefined name in a template is an error, never an empty string."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ragops.resources import templates_dir


def render(template: str, **values: object) -> str:
    """Render `templates/<template>` with `values`.

    Raises jinja2.UndefinedError for a name that `values` lacks, jinja2.TemplateNotFound for an unknown template.
    """
    environment = Environment(
        loader=FileSystemLoader(templates_dir()),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )
    return environment.get_template(template).render(**values)
