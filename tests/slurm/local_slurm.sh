#!/usr/bin/env bash
# A real Slurm on one machine, for the tests: a controller and two nodes of two pretend GPUs each. Needs root and slurm-wlm.
#   local_slurm.sh start FOLDER | stop FOLDER
# It writes /etc/slurm, because jobs lose the variable that could name another place; never over somebody else's.
set -euo pipefail
verb=${1:?start or stop} folder=${2:?a folder for its state and logs} host=$(hostname -s) ours="ClusterName=vggrepro-tests"

start() {
  if [ -e /etc/slurm/slurm.conf ] && ! grep -q "^$ours" /etc/slurm/slurm.conf; then
    echo "/etc/slurm/slurm.conf is of another Slurm: nothing was started" >&2
    return 1
  fi
  mkdir -p "$folder/state" /run/munge /etc/slurm
  chown munge:munge /run/munge
  if [ ! -f /etc/munge/munge.key ]; then
    (umask 077 && dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 2>/dev/null)
    chown munge: /etc/munge/munge.key
  fi
  munge -n >/dev/null 2>&1 || runuser -u munge -- munged
  cat >/etc/slurm/slurm.conf <<CONF
$ours
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17003
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/ctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/ctld.log
SlurmdLogFile=$folder/%n.log
SlurmUser=root
ReturnToService=2
KillWait=20
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=10000 Gres=gpu:2 State=UNKNOWN
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=10000 Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  echo "NodeName=node[1-2] Name=gpu File=/dev/tty[0-1]" >/etc/slurm/gres.conf
  slurmctld
  slurmd -N node1
  slurmd -N node2
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle | wc -l)" = 2 ] && return
    sleep 0.5
  done
  echo "the local Slurm did not come up: see $folder/*.log" >&2
  return 1
}

stop() {
  for name in node1 node2 ctld; do
    [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
  done
  rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
}

"$verb"
