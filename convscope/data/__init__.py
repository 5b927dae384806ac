"""Images: where they come from, and how a file becomes RGB bytes."""
