"""Database servers of the tests' own, from Debian's packages: on a free port of loopback, in a folder that goes."""
