"""The main job from end to end: `make demo`.

Scores a real scan with calcium by the built-in model and says where its report is; then makes a small digital cohort,
trains an ensemble on it and evaluates both on digital patients that neither has seen. Every step is a command you can
run yourself.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

WORKERS = "2"

SCANS = (
    "data/4d-lung-113-heart",
    "data/lung-pet-ct-dx-a0001-heart",
    "data/qrm-thorax-phantom --labels data/qrm-thorax-phantom-labels.nii.gz --rod 17,108,128 --water 17,71,104",
)


def calcscore(arguments: str) -> str:
    print(f"\n$ calcscore {arguments}", flush=True)
    command = [sys.executable, "-m", "calcscore_ml", *shlex.split(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(output: Path) -> None:
    start = time.monotonic()
    cohort, model = shlex.quote(str(output / "cohort")), shlex.quote(str(output / "model"))
    results = shlex.quote(str(output / "results"))
    for scan in SCANS:
        (scored,) = json.loads(calcscore(f"score {scan} -o {results} --overwrite --json"))["results"]
        print(f"Agatston {scored['headline']}\nreport: {scored['report']}")
        print(f"({time.monotonic() - start:.0f} s since the start)", flush=True)
    print("\nNow an ensemble of your own: digital patients, training, evaluation on patients it has not seen.")
    calcscore(f"phantom demo -o {cohort} --workers {WORKERS}")
    calcscore(f"train {cohort}/data_manifest.csv -o {model} --overwrite --workers {WORKERS}")
    evaluation = f"evaluate {cohort}/data_manifest.csv --workers {WORKERS} --overwrite -o {shlex.quote(str(output))}"
    print(calcscore(f"{evaluation}/evaluation --model {model}"))
    print("\nThe built-in model, trained on more patients, on the same test patients:")
    print(calcscore(f"{evaluation}/evaluation-built-in"))
    print(f"Reports: {output / 'results'}; figures: {output / 'evaluation'}, {output / 'evaluation-built-in'}")
    print(f"Done in {time.monotonic() - start:.0f} s. For research use only; not a medical device.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-output"))
