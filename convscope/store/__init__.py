"""What is on the disk, knowing neither torch nor networks."""
