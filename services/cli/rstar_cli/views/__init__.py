"""What people see in a terminal. Renders values; asks nobody."""
