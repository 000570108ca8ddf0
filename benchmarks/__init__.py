"""Load runs against modelserve and a bare aiohttp server, side by side: ``python -m benchmarks``.

    cases (what is served) -> servers (processes) -> load (wrk, or ours) -> measure (samples) -> report (table)

Every server is up during the whole run and the measurements are interleaved, so that a machine which grows faster or
slower meanwhile treats all alike. Absolute figures move from machine to machine: compare the ratios.
"""
