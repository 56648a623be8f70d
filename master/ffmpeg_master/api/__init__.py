"""The handlers: parse, one call to the store, serialise."""
