"""One module a family of commands. Heavy imports are inside them: `--help` is instant."""
