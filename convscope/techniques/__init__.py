"""What is asked of a network and an image."""
