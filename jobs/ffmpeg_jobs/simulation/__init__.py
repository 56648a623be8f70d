"""A farm of workers that run nothing, in one process: what a master bears, before one buys."""
