"""The whole system on one machine, without containers: real servers on loopback."""
