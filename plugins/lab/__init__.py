"""Real daemons on loopback for tests and benchmarks: net-snmp's agents, OpenSSH's servers.

.ci/daemons unpacks them from Debian's packages; nothing is installed, and each is a child of whoever starts
it. The product never knows that it talks to one.
"""
