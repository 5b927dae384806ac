"""Command line, report and page: the only parts that talk to people."""
