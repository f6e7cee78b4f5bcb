"""Serves a bundle over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines
from pneumoscope.cli.options import BUNDLES
from pneumoscope.core.errors import DependencyError, InputError

if TYPE_CHECKING:
    from pneumoscope.service.server import Place


def serve(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help=f"{BUNDLES} (the default).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may ask; needed beyond this machine.")
    ] = None,
    new_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print a new token once, add it to --tokens.")
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="The new token may also load another bundle.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Open to other machines without tokens.")
    ] = False,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Web pages that may ask; repeat.")
    ] = None,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Open at a time; more get 503.")
    ] = 512,
    decoders: Annotated[int, typer.Option(min=1, help="Processes that read images.")] = 2,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the model; default: all.")] = None,
    max_queue: Annotated[int, typer.Option(min=1, help="Images waiting; more get 429.")] = 64,
    max_batch: Annotated[int, typer.Option(min=1, help="Images answered together.")] = 8,
    max_images: Annotated[int, typer.Option(min=1, help="In one request.")] = 16,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Of one request.")] = 64,
    max_megapixels: Annotated[int, typer.Option(min=1, help="Of one image.")] = 25,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds for a request.")] = 30.0,
    decode_seconds: Annotated[float, typer.Option(min=0.01, help="For reading an image.")] = 15.0,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="Still answer so long after SIGTERM, not ready any more.")
    ] = 0.5,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests per second and token.")
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="fastest, auto, openvino, onnxruntime or torch.")
    ] = "fastest",
) -> None:
    """Answer images over HTTP; docs/serving.md tells how to put it on a network.

    Example: pneumoscope serve runs/demo/bundle --port 8000
    """
    if new_token is not None:
        _print_token(tokens, new_token, admin=admin)
        return
    _require_extra()
    from pneumoscope.service import server
    from pneumoscope.service.settings import MEBIBYTE, Settings
    from pneumoscope.workflows.bundles import CHAMPION, bundle_at

    place = server.Place(
        host=host, port=port, tokens=tokens, insecure=insecure,
        origins=server.origins_of(cors or []),
    )  # fmt: skip
    settings = Settings(
        max_queue=max_queue, max_batch=max_batch, max_images=max_images,
        max_bytes=max_megabytes * MEBIBYTE, max_pixels=max_megapixels * 1_000_000,
        decoders=decoders, decode_seconds=decode_seconds, deadline=deadline, rate=rate,
        drain_seconds=drain_seconds, max_connections=max_connections,
    )  # fmt: skip
    address = bundle or CHAMPION
    bundle_at(address)  # says what is wrong with it before anything is announced
    _announce(place, unnamed=CHAMPION if bundle is None else None)
    # An alias of the registry is followed at each loading, not once.
    find = partial(bundle_at, address)
    server.serve(find, place, settings, runtime=runtime, threads=threads)


def _require_extra() -> None:
    try:
        import pneumoscope.service.server  # noqa: F401
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed, which serving needs"
        raise DependencyError(f"{message}. Run: pip install 'pneumoscope[service]'") from error


def _announce(place: Place, *, unnamed: str | None) -> None:
    reporter = TerminalReporter()
    if unnamed is not None:
        reporter.say(f"No bundle named: {unnamed}, which ships, answers.")
    if place.tokens is None:
        whom = "everybody who reaches it" if place.insecure else "this machine only"
        reporter.warn(f"no tokens: open to {whom}.")
    where = f"http://{place.host}:{place.port}/v1/predictions"
    reporter.say(f"{where}. For research use. Not a medical device.")


def _print_token(file: Path | None, name: str, *, admin: bool) -> None:
    from pneumoscope.service.tokens import new_token

    if file is None:
        raise InputError("--new-token: name the file of tokens with --tokens FILE.")
    print_lines([new_token(file, name, scope="admin" if admin else "predict")])
    TerminalReporter().say(f"Only its hash was added to {file}; it cannot be shown again.")
