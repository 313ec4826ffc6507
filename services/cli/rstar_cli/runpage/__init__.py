"""The report of a run of self-evolution, as Markdown and as one HTML file."""
