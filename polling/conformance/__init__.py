"""`manage.py plugin check`: does a plugin keep the protocol? Each case says what is wrong and what to do
about it.
"""
