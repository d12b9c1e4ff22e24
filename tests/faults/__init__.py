"""The fault kit: what the log promises, tried under faults.

A scripted upstream numbers its tokens, a proxy spoils the network, devices of three makes
record all they are told, and an oracle holds upstream, devices and journal against each other.
`scenarios` puts them together, for the tests and for `python -m tests.faults --rounds N`.
"""
