"""What a job is: the model, its contract, and the client of the master's API."""

__version__ = "0.1.0"
