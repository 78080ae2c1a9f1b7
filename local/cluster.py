"""A throw-away Kubernetes on this machine: `python3 local/cluster.py up|down|status`. See local/README.md."""

from __future__ import annotations

import argparse
import os
import sys

from localcluster import lock, paths, shell
from localcluster.down import down
from localcluster.errors import CommandError, LocalError
from localcluster.images import Plan
from localcluster.kind import Cluster
from localcluster.pins import Pins
from localcluster.progress import Progress
from localcluster.status import status
from localcluster.up import Session, up


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cluster.py", description="A throw-away Kubernetes on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="have a cluster that answers, making only what is missing")
    removing = commands.add_parser("down", help="remove the cluster and the state of this checkout")
    removing.add_argument("--all", action="store_true", help="remove the caches and our images too")
    commands.add_parser("status", help="show what there is; exit 0 only if the cluster is usable")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    if sys.version_info < (3, 11):
        print("local/cluster.py needs Python 3.11 or newer", file=sys.stderr)
        return 1
    options = arguments(argv)
    where = paths.find()
    plan = Plan(where, Pins.load(where.source / "pins.toml"))
    cluster = Cluster(os.environ.get("RAGOPS_CLUSTER") or "ragops")
    progress = Progress()
    try:
        if options.command == "status":
            return 0 if status(where, plan, cluster) else 1
        with lock.held(where.lock, progress.say):
            if options.command == "down":
                down(where, cluster, progress, everything=options.all)
            else:
                up(Session(where, plan, cluster, progress))
    except LocalError as error:
        explain(error, progress)
        return 1
    except BrokenPipeError:  # whoever read our lines has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        shell.cancel_all()
        progress.error("interrupted: what was finished is kept, run it again to go on")
        return 130
    return 0


def explain(error: LocalError, progress: Progress) -> None:
    """What failed, the end of its log, and what to do."""
    log = error.log if isinstance(error, CommandError) else None
    if log:
        progress.error("".join(f"  | {line}\n" for line in shell.tail(log)))
    progress.error(f"FAILED: {error.message}")
    if log:
        progress.error(f"log: {log}")
    if error.remedy:
        progress.error(f"what to do: {error.remedy}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
