"""Run `python -m dispatcher`, which is the same as the command `dispatcher`."""

import sys

WITHOUT_DAEMON = (
    "The daemon and its commands need the package {0}, which is not installed.\n"
    "Install dispatcher again without --no-deps.\n"
)


def start() -> None:
    """Run the command line. If other packages are missing, say how to install the rest."""
    try:
        from dispatcher.cli import main
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] in ("", "dispatcher"):
            raise
        sys.stderr.write(WITHOUT_DAEMON.format(missing))
        sys.exit(2)
    main(prog_name="dispatcher")


if __name__ == "__main__":
    start()
