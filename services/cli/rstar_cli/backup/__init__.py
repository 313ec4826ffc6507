"""Everything a system keeps, in one folder: what NATS holds, what the object store holds."""
