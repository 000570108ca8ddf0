"""Who may call: clients and their tokens, kept in the database of the jobs.

    clients add NAME  ->  Clients (database)  ->  Roll (in memory)  ->  find(Authorization, address)  ->  Client

Only what reads or writes the database loads SQLAlchemy; the roll and what it gives do not.
"""
