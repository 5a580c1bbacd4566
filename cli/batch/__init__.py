"""`run.py batch`: thousands of edits, resumable, in one process or on a Ray cluster.

A run is a folder. What is done is decided by what lies in it: a row is done when its picture and
its line in the journal are both there.

- ``rows``: the job file, read into rows;
- ``plan``: what to run for each row, as a graph; every row is checked before anything runs;
- ``comfy``, ``worker``: ComfyUI in process, and the three stages of one edit (read, edit, finish);
- ``store``, ``fingerprint``: the run folder, resume and repair;
- ``engines``, ``ray_engine``: rows through one worker's threads, or through Ray Data's actors;
- ``progress``, ``summary``, ``contact``: what a person sees of it.
"""
