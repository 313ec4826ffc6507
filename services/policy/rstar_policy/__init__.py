"""Policy service: turns a partial solution into candidate next steps."""
