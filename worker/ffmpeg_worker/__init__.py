"""The worker: takes jobs from the master and has systemd hold each ffmpeg run in a scope."""
