"""Offline predictions over many rows, by the workers of one deployment.

    Source --rows--> Ahead (a thread) --> Flow --calls--> Deployment
                                           Flow <--answers-- Deployment
                                           Flow --lines, in the order of the rows--> Output (a file, and its state)

It knows deployments, calls and answers; never HTTP, and never the terminal.
"""
