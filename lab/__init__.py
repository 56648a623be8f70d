"""Throwaway Debian machines with real systemd, for tests, demo and by hand."""
