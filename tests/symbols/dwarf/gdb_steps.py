"""Runs inside GDB: steps through a program and compares what GDB says of variables with expressions for their places.

Environment: PORT of the stub, STEPS to take, WANTED: a JSON file of {address: [[name, expression, bytes], ...]}; prints
one JSON object: how many values were the same, and those that differed.
"""

import json
import os
from pathlib import Path

import gdb

wanted = {int(place): names for place, names in json.loads(Path(os.environ["WANTED"]).read_text()).items()}
for command in ("set pagination off", "set confirm off", "set print entry-values no"):
    gdb.execute(command)
gdb.execute(f"target remote localhost:{os.environ['PORT']}")
gdb.execute("break narrow")
gdb.execute("continue")
gdb.execute("delete")
same, different = 0, []
for _ in range(int(os.environ["STEPS"])):
    frame = gdb.selected_frame()
    for name, expression, size in wanted.get(frame.pc(), ()):
        try:
            known = frame.read_var(name)
            value = int(known) if not known.is_optimized_out else None
        except (gdb.error, ValueError, RuntimeError):
            value = None
        if value is None:
            continue
        mask = (1 << 8 * size) - 1
        found = int(gdb.parse_and_eval(expression)) & mask
        if found == value & mask:
            same += 1
        else:
            different.append([hex(frame.pc()), name, hex(found), hex(value & mask)])
    gdb.execute("stepi", to_string=True)
gdb.execute("kill")
print(json.dumps({"same": same, "different": different}))  # noqa: T201
