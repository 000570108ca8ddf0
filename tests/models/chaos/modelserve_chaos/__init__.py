"""The model that misbehaves on demand, for tests of what modelserve does about it.

model.py     what modelserve serves, and the faults that environment variables ask for
faults.py    those variables: CHAOS_IMPORT, CHAOS_ARGS, CHAOS_METADATA, CHAOS_WARM
side_log.py  CHAOS_LOG: one JSON line for each import, warm and call, so that a test can prove what ran
asked.py     one call, and the table of modes
processes.py, answers.py, errors.py, files.py    the modes
"""
