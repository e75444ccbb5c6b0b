#!/usr/bin/env bash
# The paper's experiment 3 on one GPU, in at most 8 minutes: seconds a step of each stage in float32, with --amp and with one
# rank of nccl, then 3 x 10 epochs on 450 synthetic films and a test.  ImageNet weights aren't needed.
# Usage: paper_on_gpu.sh OUT [KEY=VALUE of the config ...]; FILMS and EPOCHS make it smaller.  Without a GPU: no --amp, gloo.
set -euo pipefail
if [ $# -lt 1 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
out=$1 config=configs/hip_ssd_exp3.py python=${PYTHON:-python}
options=(model.backbone.init_cfg=None train_cfg.val_interval=1000 default_hooks.logger.interval=10 "${@:2}")
cd "$(dirname "$0")/.."
mkdir -p "$out"
out=$(cd "$out" && pwd)

"$python" -m hipdet phantoms "$out/films" --films ${FILMS:-cgoa=300 oaih=200 gis=100} --max-side 512
"$python" -m hipdet convert phantom "$out/films" --val-fraction 0.1

short=(--data-root "$out/films" --cfg-options "${options[@]}" train_cfg.max_epochs=3 experiment_name)
"$python" -m hipdet train $config --work-dir "$out/float32" "${short[@]}=float32"
if "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    "$python" -m hipdet train $config --amp --work-dir "$out/amp" "${short[@]}=amp"
fi
PYTHON=$python tools/dist_train.sh $config 1 --work-dir "$out/one_rank" "${short[@]}=one_rank"

epochs=${EPOCHS:-30}
"$python" -m hipdet train $config --work-dir "$out/long" --data-root "$out/films" \
    --cfg-options "${options[@]}" train_cfg.max_epochs="$epochs" experiment_name=long
"$python" -m hipdet test $config "$out/long/epoch_$epochs.pth" --work-dir "$out/long" --data-root "$out/films" \
    --cfg-options "${options[@]}" | tee "$out/test.txt"

# of each epoch, which is a stage of the short runs: the time and memory of its last steps
"$python" - "$out" <<'PYTHON' | tee "$out/speed.txt"
import json, sys
from pathlib import Path

for run in ("float32", "amp", "one_rank", "long"):
    for path in sorted(Path(sys.argv[1], run).glob("*/vis_data/scalars.json")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        epochs = {line["epoch"]: line for line in lines if "loss" in line}
        for epoch, line in epochs.items() if run != "long" else []:
            print(f"{run}, stage {epoch}: {line['time']:.3f} s a step, {line.get('memory', 'unknown')} MB")
        print(f"{run}: loss {line['loss']:.3f} at the end" if (line := list(epochs.values())[-1]) else "")
PYTHON
