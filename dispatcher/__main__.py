"""Run `python -m dispatcher`, which is the same as the command `dispatcher`."""

from dispatcher.cli import main

if __name__ == "__main__":
    main(prog_name="dispatcher")
