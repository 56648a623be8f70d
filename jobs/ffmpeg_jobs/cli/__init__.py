"""The command ``ffmpeg-jobs``: one file per verb group."""
