"""The `rstar` command: generated stubs and common code only."""
