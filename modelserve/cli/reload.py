"""``modelserve reload``: a running server takes up what is installed now, without losing a call."""

from __future__ import annotations

import click

from modelserve import control
from modelserve.cli import screen

__all__ = ["chosen_port", "port_option", "reload"]

port_option = click.option(
    "--port", type=click.IntRange(1, 65535), metavar="NUMBER", help="Port of the server, where several run."
)

EPILOG = """\b
Examples:
  pip install -U modelserve-digits && modelserve reload digits
  modelserve reload --port 8080                    every deployment of one server
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@port_option
def reload(name: str | None, port: int | None) -> int:
    """Have a running server load its models anew.

    New workers start from the code that is installed now, beside the old ones. Once they are warm, calls go to them and
    the old ones finish what they run. If a new one cannot start, the old ones stay and the exit status is 1.

    NAME is a deployment's; without one, all are reloaded, one after the other.
    """
    path = "/reload" if name is None else f"/reload/{name}"
    status = 0
    with screen.progress() as show:
        for step in control.order(chosen_port(port), "POST", path):
            if step["step"] == "reloading":
                show(f"{step['deployment']}: starting new workers ...")
            elif step["step"] == "reloaded":
                click.echo(f"{step['deployment']}: reloaded")
            else:
                status = 1
                click.echo(f"{step['deployment']}: the old version stays. {screen.clean(step['message'])}", err=True)
    return status


def chosen_port(port: int | None) -> int:
    """Return the port of the server that is meant: the one named, or the only one that runs.

    Raises:
        ControlError: There is none, or more than one.
    """
    if port is not None:
        return port
    ports = control.listening_ports()
    if len(ports) == 1:
        return ports[0]
    if not ports:
        raise control.ControlError("No server of this user runs on this machine; 'modelserve run' starts one.")
    raise control.ControlError(f"Servers run on ports {', '.join(map(str, ports))}: say which with --port.")
