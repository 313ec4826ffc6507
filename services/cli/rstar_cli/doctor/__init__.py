"""What can be wrong with a machine or an installation, each with what to do: `rstar doctor`."""
