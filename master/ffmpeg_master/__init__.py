"""The master: takes jobs, keeps them, and hands each to one worker at a time."""
