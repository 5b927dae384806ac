"""python -m convscope is the command line."""

from convscope.faces.cli import main

main()
