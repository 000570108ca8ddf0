"""What the misbehaving models share; there is no model in it.

side_log.py  CHAOS_LOG: one JSON line for each thing that happened, so that a test can prove what ran
switches.py  the words that say how to misbehave: environment variables, or a file that a test rewrites meanwhile
faults.py    faults before any call: at import, in warm, at exit
cuda.py      the errors of a GPU that runs out of memory or breaks, without a GPU
"""
