"""What is asked of an atlas."""
