"""The `limnos` command: global flags, verbs loaded only when typed, and every error in four parts."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from keyword import iskeyword
from pathlib import Path
from typing import NoReturn

import click

from limnos.apps.cli.terminal import Terminal, speaking
from limnos.errors import LimnosError, ProjectMissing, RequestError, UnknownName

# Name -> (module, what it does): `limnos --help` reads only this, so that no verb's imports slow it down.
VERBS = {
    "init": ("setup", "Lay down a project: empty, an example, or from a database."),
    "plan": ("run", "Show what a run would do, and change nothing."),
    "run": ("run", "Load, judge and publish tables."),
    "check": ("run", "Judge the published tables by today's rules."),
    "verify": ("verify", "Compare the published tables with their sources."),
    "upkeep": ("upkeep", "Compact files and let old versions go; no row changes."),
    "quarantine": ("quarantine", "List, show, release or reject the rows that were held back."),
    "import": ("contracts", "Take over rules of dbt, DQDL, Great Expectations or Soda."),
    "export": ("contracts", "Write the contracts of tables as ODCS files."),
    "query": ("query", "Ask the published tables a question in SQL."),
    "profile": ("profile", "Show what a table holds: nulls, ranges, patterns, keys."),
    "suggest": ("suggest", "Propose rules for a table, with the evidence for each."),
    "status": ("state", "Show how each table stands."),
    "why": ("state", "Show whether a table can be trusted, and the evidence."),
    "anomalies": ("anomalies", "Show what departs from its own history."),
    "history": ("state", "List the published versions."),
    "explain": ("explain", "Explain a rule, a source, an error or a topic."),
    "doctor": ("setup", "Examine the project, its storage and its sources."),
}
INTERRUPTED = 130
PIPE_CLOSED = 141


class Unexpected(LimnosError):
    """A defect of ours; told apart from what the user or the world did wrong."""

    exit_code = 3


class Verbs(click.Group):
    """Find verbs by name in `VERBS` and import them late."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order in which a newcomer meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        attribute = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name  # `import` cannot name a function
        command = getattr(import_module(f"limnos.apps.cli.{VERBS[cmd_name][0]}"), attribute)
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the nearest one."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise UnknownName.among("verb", args[0], VERBS, hint="limnos --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, says) for name, (_, says) in VERBS.items()])


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 the signature is click's
    if wanted and not ctx.resilient_parsing:
        click.echo(f"limnos {metadata.version('limnos')}")
        ctx.exit()


@click.group(
    cls=Verbs, subcommand_metavar="VERB [ARGS]...", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.option("-C", "directory", metavar="DIR", default="", help="Run as if started in DIR.")
@click.option("--env", "environment", metavar="NAME", default="", help="Use the overlay NAME of the project file (dev, prod, ...).")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version and exit.")
@speaking
@click.pass_context
def limnos(ctx: click.Context, directory: str, environment: str) -> None:
    """Bring data into verified Iceberg tables, keep the bad rows out, and answer SQL.

    Data goes to standard output, everything else to standard error.
    Exit codes: 0 done, 1 the data broke a promise, 2 the request is wrong, 3 the outside world failed, 4 refused by policy.
    """
    ctx.ensure_object(Terminal).environment = environment
    if directory:
        if not Path(directory).is_dir():
            raise ProjectMissing(
                "There is no such directory", subject=directory, seen="nothing", expected="a directory", hint="limnos init DIR"
            )
        ctx.with_resource(contextlib.chdir(directory))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code."""
    terminal = Terminal.of(arguments)
    try:
        with limnos.make_context("limnos", list(arguments), obj=terminal) as context:
            code = limnos.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return RequestError.exit_code
    except click.UsageError as wrong:
        return _fail(terminal, _request(wrong))
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more on its way out; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except LimnosError as error:
        return _fail(terminal, error)
    except Exception as defect:  # noqa: BLE001 the last guard: nobody but a developer sees a traceback
        return _fail(terminal, _unexpected(defect))
    return code if isinstance(code, int) else 0


def _request(wrong: click.UsageError) -> RequestError:
    path = wrong.ctx.command_path if wrong.ctx else "limnos"
    return RequestError(wrong.format_message().rstrip("."), subject=path, hint=f"{path} --help")


def _unexpected(defect: Exception) -> Unexpected:
    error = Unexpected(
        "Something unexpected happened; this is a defect in Limnos",
        subject=type(defect).__name__,
        seen=str(defect).partition("\n")[0],
        hint="run it again with --debug and report the traceback",
    )
    error.__cause__ = defect
    return error


def _fail(terminal: Terminal, error: LimnosError) -> int:
    if terminal.debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
    terminal.complain(error)
    return error.exit_code


def main() -> NoReturn:
    """Start the command line."""
    sys.exit(run(sys.argv[1:]))
