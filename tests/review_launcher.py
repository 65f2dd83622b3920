"""Starts servers of a review, each in a process of its own, without loading the libraries again for each.

python review_launcher.py RESULTS: for every line of standard input that holds a port (0: any) a server is started; when
it answers, its process id, port and token are written to standard output as a line of JSON.
"""

import json
import os
import sys
from pathlib import Path

from calcscore_ml.review.server import open_review, serve


def launch(results, port):
    """Serve a review until the process is killed."""
    setting = open_review(results, observers=["anna"], port=port)
    address, _, token = setting.addresses["anna"].partition("/#token=")
    told = json.dumps({"pid": os.getpid(), "base": address, "token": token})
    serve(setting, lambda text: print(text, file=sys.stderr), lambda: print(told, flush=True))


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        launch(Path(sys.argv[1]), int(line))
        os._exit(0)
