#!/bin/bash
#SBATCH --job-name=pixelflow
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@300
# sbatch train.sh specs/cifar10.yaml --out /shared/runs      One task a GPU; all else is handed to pixelflow train.

export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
export WORLD_SIZE=$SLURM_NTASKS

srun --kill-on-bad-exit=0 bash -c '
    export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID LOCAL_WORLD_SIZE=$((SLURM_NTASKS / SLURM_NNODES))
    exec python -m pixelflow train "$@"
' train "$@"
code=$?
case $code in
    74 | 75 | 137 | 143) scontrol requeue "$SLURM_JOB_ID" ;;    # one is gone; stopped and saved; ended before it began
esac
exit $code
