"""Trainer service: turns trees into checkpoints."""
