"""`rstar keys`: certificates and tokens, where no other authority hands them out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the authority lives.")]
Days = Annotated[int, typer.Option(min=1, help="How long it is good for.")]


def app() -> typer.Typer:
    """The `keys` group."""
    group = typer.Typer(help="Certificates and tokens.", no_args_is_help=True)
    group.command("init")(init)
    group.command("certificate")(certificate)
    group.command("token")(token)
    return group


def init(directory: Directory) -> None:
    """Make an authority: a CA for certificates and a key pair for tokens.

    Example: rstar keys init keys
    """
    from rstar_cli.authority import Authority
    from rstar_cli.output import console

    authority = Authority.create(directory)
    console().print(f"services: grpc.token_keys = {authority.path('tokens', 'pub')}")
    console().print(f"clients:  peers.ca = {authority.path('ca', 'pem')}")


def certificate(
    directory: Directory,
    name: Annotated[str, typer.Argument(help="Of the service or client.")],
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address it serves; repeatable.")
    ] = None,
    days: Days = 365,
) -> None:
    """Sign a certificate for a service or a client.

    Example: rstar keys certificate keys searcher --host searcher.rstar.svc --host 127.0.0.1
    """
    from rstar_cli.authority import Authority
    from rstar_cli.output import console

    path = Authority(directory).issue(name, host or [name], days=days)
    console().print(f"{path} and {path.with_suffix('.key')}")


def token(
    directory: Directory,
    subject: Annotated[str, typer.Argument(help="Who it is for: a person, a team, a service.")],
    scope: Annotated[list[str], typer.Option(help="solve, publish, train, service or admin.")],
    days: Days = 30,
    bound_to: Annotated[
        str, typer.Option(metavar="NAME", help="Of use only beside NAME's certificate.")
    ] = "",
    tenant: Annotated[
        str, typer.Option(metavar="NAME", help="Sees that tenant's batches alone.")
    ] = "",
) -> None:
    """Print a token for a caller. Nobody but its holder should read it.

    Example: rstar keys token keys team-a --scope solve --scope publish --days 7
    """
    from rstar_cli.authority import Authority

    text = Authority(directory).token(
        subject, scope, seconds=days * 86400, bound_to=bound_to, tenant=tenant
    )
    sys.stdout.write(text + "\n")
