"""What Snakemake loads before it reads a Snakefile: its plugins, which it looks for in all that is installed."""

from snakemake.cli import get_argument_parser

get_argument_parser()
