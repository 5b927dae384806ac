"""What the page is told of an atlas: the same answers from a server and in a file that opens without one."""
