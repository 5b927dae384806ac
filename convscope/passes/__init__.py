"""One reading of the images feeds every fold."""
