"""Benchmarks against the budgets: `make bench`, or `python -m bench claim store` for single ones.

Each compares with a peer in the same run where there is one, because machines are noisy: read the ratios
first.
"""
