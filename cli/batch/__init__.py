"""`run.py batch`: thousands of edits, resumable, in one process or on a Ray cluster.

The state of a run is the content of its folder: a row is done when both its image and its line in
the journal exist.

- ``rows``: the job file, read into rows;
- ``plan``: the graph of each row; every row is checked before anything runs;
- ``comfy``, ``worker``: ComfyUI in process, and the three stages of one edit (read, edit, finish);
- ``store``, ``fingerprint``: the run folder, resume and repair;
- ``engines``, ``ray_engine``: rows through one worker's threads, or through Ray Data's actors;
- ``progress``, ``summary``, ``contact``: progress line, summary page and contact sheet.
"""
