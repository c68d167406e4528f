#!/usr/bin/env bash
# zarr 3.1.6: an interrupt leaves array.append at once, and the write goes on after it.
#
# Guess: when KeyboardInterrupt has left append, nothing is written any more; the array's folder can be removed.
# Seen: zarr 3 writes in an event loop in a thread of its own, which nobody stops. The chunk is written, its folder
#   made anew if need be, after the exception was handled: the removed folder stands there again. (A slow disk is
#   stood in for by a store that waits 0.3 s.)
# Consequence here: calls of zarr run in a worker thread that is waited for, also when a signal came.
. "$(dirname "$0")/lib.sh"
packages zarr==3.1.6 numpy==2.4.6

cat >interrupt.py <<'PYTHON'
import asyncio
import pathlib
import shutil
import signal
import threading
import time

import numpy as np
import zarr
from zarr.storage import LocalStore

put = LocalStore.set


async def slow(self, key, value):
    await asyncio.sleep(0.3)
    await put(self, key, value)


array = zarr.create_array("field.zarr", shape=(0, 8), chunks=(1, 8), dtype="f4")
LocalStore.set = slow
threading.Timer(0.1, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
try:
    array.append(np.ones((1, 8), "f4"))
except KeyboardInterrupt:
    shutil.rmtree("field.zarr")
removed = not pathlib.Path("field.zarr").exists()
time.sleep(1)
print(f"FINDING removed: {removed}; a second later the folder exists: {pathlib.Path('field.zarr').exists()}")
assert removed and pathlib.Path("field.zarr").exists()
PYTHON
"$python" interrupt.py 2>&1 | grep -E '^FINDING|Error'
