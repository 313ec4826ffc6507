"""How many of what a target of problems an hour needs: `rstar capacity`."""
