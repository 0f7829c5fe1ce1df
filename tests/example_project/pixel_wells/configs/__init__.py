"""Our own configurations; those of thermotorch are found beside them."""
