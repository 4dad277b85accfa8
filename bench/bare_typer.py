"""What `ragops --help` is measured against: two commands and nothing else."""

import typer

app = typer.Typer()


@app.command()
def first(name: str = "x") -> None:
    """Do the first thing."""


@app.command()
def second(name: str = "x") -> None:
    """Do the second thing."""


app()
