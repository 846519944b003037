"""TensorFlow, imported in this one place: without its start-up chatter, one thread per operation.

`from model.tf import tf` takes the place of `import tensorflow as tf`. The import may come before a
fork; the first operation must not.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["tf"]

# Information that the level below does not silence. Turning oneDNN off would, but it changes the
# last bits of the answers.
CHATTER = (b"oneDNN custom operations are on", b"before absl::InitializeLog() is called")


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then write all of it but the CHATTER."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not any(text in line for text in CHATTER):
                    os.write(2, line)


if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1") == "0":  # 0 asks for information as well
    import tensorflow as tf
else:
    with without_chatter():
        import tensorflow as tf

# A web server runs several workers: more threads per operation would only fight over the cores.
# It also fixes the order of additions, so that a training can be repeated to the bit.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
