"""The form of the documents that the line writes."""

import json

import click


@click.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema of the document NAME; without NAME list the names.

    With it programs in other languages can read what the line writes: figures, thresholds,
    decisions, champions, releases, logged predictions.
    """
    from tasks.documents import schemas

    click.echo(json.dumps(schemas.schema(name), indent=1) if name else "\n".join(schemas.DOCUMENTS))
