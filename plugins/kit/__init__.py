"""What our plugins are built on: tasks and results, an asyncio host, kept sessions, counters to rates.

docs/plugins.md describes the protocol; a plugin in another language needs nothing of this.
"""
