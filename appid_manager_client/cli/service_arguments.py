"""The commands that run and keep the service, and their arguments.

Every setting can come from a variable, too (`variables.py`): a password has no place in a process
list. The other commands stand in `arguments.py`.
"""

from __future__ import annotations

from .parser import FILES, CommandLine, Parser, completing, count, seconds

DEFAULT_DATABASE = "appids.db"


def add_serve(line: CommandLine) -> None:
    """`appid-manager serve`."""
    serve = line.add_command(
        "serve",
        "Run the service until SIGTERM or Ctrl-C (needs the extra 'server').",
        epilog="APPID_MANAGER_TOKEN, or the global option --token, sets a token of the role admin.",
    )
    serve.add_setting("--host", default="127.0.0.1", help="the address to listen on")
    serve.add_setting("--port", type=count, default=5000, help="the TCP port; 0 takes a free one")
    add_database(serve, "the SQLite file with the service's state, or a PostgreSQL database")
    serve.add_setting(
        "--wait-for-database",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long a start waits for a PostgreSQL server that takes no connections yet",
    )
    _add_times(serve)
    _add_callers(serve)
    serve.add_setting(
        "--access-log",
        action="store_true",
        default=False,
        help="log each request: who, what, the status, and how long it took",
    )
    serve.add_setting(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="how the log on stderr looks: lines for people, or a JSON object a line",
    )


def _add_times(serve: Parser) -> None:
    serve.add_setting(
        "--timezone", default="UTC", metavar="ZONE", help="the time zone whose hours count"
    )
    serve.add_setting(
        "--hour-seconds",
        type=count,
        metavar="S",
        help="the length of an hour, S seconds, for tests and demonstrations",
    )
    serve.add_setting(
        "--history-days",
        type=count,
        default=90,
        metavar="N",
        help="how many days an ended lease stays in the history",
    )
    # An act, no setting: a variable would go on changing the hours.
    serve.add_argument(
        "--change-hours",
        action="store_true",
        help="have the database count its hours as these options say from now on; an AppID whose "
        "last use ended before the present new hour began is then free at once, even if the old "
        "hour of that use is not over",
    )


def _add_callers(serve: Parser) -> None:
    tokens = serve.add_setting(
        "--tokens",
        dest="tokens_file",
        metavar="FILE",
        help="a file with a token in each line, NAME ROLE sha256:HEX (see 'token'), besides that "
        "of --token; read again on SIGHUP",
    )
    completing(tokens, FILES)
    serve.add_setting(
        "--insecure",
        action="store_true",
        default=False,
        help="allow calls from other machines without a token",
    )
    serve.add_setting(
        "--public-url",
        action="append",
        dest="public_urls",
        metavar="URL",
        help="a URL under which browsers reach the service; may be given several times",
    )
    serve.add_setting(
        "--allowed-host",
        action="append",
        dest="allowed_hosts",
        metavar="HOST",
        help="a name under which the service may be called without a token, besides the loopback "
        "addresses and localhost; may be given several times",
    )


def add_database(command: Parser, what: str) -> None:
    """The option `--database`."""
    database = command.add_setting(
        "--database",
        default=DEFAULT_DATABASE,
        metavar="FILE",
        help=f"{what}, as a path or as a URL",
    )
    completing(database, FILES)


def add_backup(line: CommandLine) -> None:
    """`appid-manager backup`."""
    backup = line.add_command(
        "backup",
        "Copy the database of a service on this machine, as it is at one moment. The service may\n"
        "be running.",
    )
    file = backup.add_argument(
        "file", metavar="FILE", help="the copy; a file that exists is not overwritten"
    )
    completing(file, FILES)
    add_database(backup, "the SQLite file of the service")


def add_migrate(line: CommandLine) -> None:
    """`appid-manager migrate`."""
    migrate = line.add_command(
        "migrate",
        "Bring the tables of a service's database up to date, as a start of the service does, or\n"
        "make them. Refused while a service of an older schema is running.",
        epilog="Exits with 1 if --check finds something to do.",
    )
    add_database(migrate, "the database of the service")
    how = migrate.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="show what is to be done, and do nothing")
    how.add_argument(
        "--sql", action="store_true", help="print the SQL of what is to be done, and do nothing"
    )


def add_copy(line: CommandLine) -> None:
    """`appid-manager copy`."""
    copy = line.add_command(
        "copy",
        "Copy everything that a service's database holds into an empty one, which services use\n"
        "from then on: they refuse the source. Stop all services of both before.",
        epilog="Passwords: PGPASSWORD, or the file ~/.pgpass, keeps them out of the process list.",
    )
    source = copy.add_argument(
        "source", metavar="SOURCE", help="the database to copy, as a path or as a URL"
    )
    target = copy.add_argument(
        "target", metavar="TARGET", help="an empty database, or a new file, as a path or as a URL"
    )
    completing(source, FILES)
    completing(target, FILES)
