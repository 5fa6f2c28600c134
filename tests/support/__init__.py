"""Private mail sites for tests: slapd, Postfix, sinks and the Coexist daemons.

Everything lives below a temporary folder and on loopback ports; no system
service is touched. Needs root (Postfix does).
"""
