"""Sandbox service: runs and judges untrusted work inside gVisor."""
