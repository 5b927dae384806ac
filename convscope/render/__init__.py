"""Results as pictures: panels of six kinds."""
