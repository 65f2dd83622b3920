"""The main job from end to end: `make demo`.

Makes a digital cohort, trains an ensemble on it, evaluates it on digital patients it has not seen, scores the two real
scans of this repository, and says where the reports are. Every step is a command you can run yourself.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

WORKERS = "2"


def calcscore(arguments: str) -> str:
    print(f"\n$ calcscore {arguments}", flush=True)
    command = [sys.executable, "-m", "calcscore_ml", *shlex.split(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(output: Path) -> None:
    start = time.monotonic()
    cohort, model = shlex.quote(str(output / "cohort")), shlex.quote(str(output / "model"))
    results = shlex.quote(str(output / "results"))
    calcscore(f"phantom demo -o {cohort} --workers {WORKERS}")
    calcscore(f"train {cohort}/data_manifest.csv -o {model} --overwrite --workers {WORKERS}")
    calcscore(
        f"evaluate {cohort}/data_manifest.csv --model {model} -o {output}/evaluation --overwrite --workers {WORKERS}"
    )
    print("\nAnd the built-in model, trained on more patients, on the same test patients:")
    calcscore(f"evaluate {cohort}/data_manifest.csv --workers {WORKERS}")
    runs = [
        f"score data/lung-pet-ct-dx-a0001-heart --model {model} -o {results} --overwrite --json",
        "score data/qrm-thorax-phantom --labels data/qrm-thorax-phantom-labels.nii.gz"
        f" --rod 17,108,128 --water 17,71,104 -o {results} --overwrite --json",
    ]
    scored = [scan for run in runs for scan in json.loads(calcscore(run))["results"]]
    print("\nThe two real scans, scored:")
    for scan in scored:
        amounts = f", {scan['volume_mm3']:.0f} mm3, {scan['mass_mg']:.1f} mg" if scan["valid"] else ""
        print(f"  {scan['path']}: Agatston {scan['headline']}{amounts}")
        print(f"    report: {scan['report']}")
    print(f"Evaluation on digital patients: {output / 'evaluation'}")
    print(f"Done in {time.monotonic() - start:.0f} s. For research use only; not a medical device.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-output"))
