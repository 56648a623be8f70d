"""What the master remembers. Each function is one transaction."""
