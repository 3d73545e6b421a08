"""Simulated Windows hosts: a WS-Management server on loopback for tests, demo and benchmarks.

The product never knows that it talks to one. Run it with `python -m plugins.winrm.simulator`; the
configuration comes as one JSON line on stdin, because it holds the hosts' password (see config.py).
"""
