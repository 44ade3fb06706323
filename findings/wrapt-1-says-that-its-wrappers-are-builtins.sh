#!/bin/sh
# The wrappers that wrapt before 2 makes in C say that their type is of the module `builtins`.
#
# Versions: wrapt 1.17.3 and 2.5.2, the wheels with its C extension.
# Behaviour: `type(wrapper).__module__` is "builtins" for FunctionWrapper, BoundFunctionWrapper and ObjectProxy of 1.17.3, as
#   its C types are named without a module; of 2.5.2 it is "_wrappers" or "wrapt.proxies". Most tracers put such wrappers around a library's functions.
#   Who looks at a callable's type to tell what is written in C from what somebody has put in its place takes them for Python's
#   own.
# What cloudq does: it knows what is written in C by the types themselves (`cloudq/aws_wire/shipped.py`), so that a tracer of
#   either version gets to see the calls to SQS.
#
# Installs into a folder of its own and talks to nobody. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/show.py" <<'PYTHON'
import sys

import wrapt

wrapper = wrapt.FunctionWrapper(len, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs))
bound = wrapt.FunctionWrapper(str.upper, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs)).__get__("x", str)
modules = ",".join(sorted({type(one).__module__ for one in (wrapper, bound, wrapt.ObjectProxy(len))}))
print(f"wrapt {wrapt.__version__}: {modules}; that of len: {type(len).__module__!r}")
raise SystemExit(0 if modules == sys.argv[1] else "this is no longer so")
PYTHON

for pair in 1.17.3=builtins 2.5.2=_wrappers,wrapt.proxies; do
    python3 -m venv --clear "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet "wrapt==${pair%=*}"
    "$folder/venv/bin/python" "$folder/show.py" "${pair#*=}"
done
