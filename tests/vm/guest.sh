#!/bin/bash
# What is tried in the virtual machine, where systemd and cgroup v2 are as on people's machines. Each trial ends with
# one line `vm: PASS NAME` or `vm: FAIL NAME`; `vm: DONE` is the last. Called by guest.service; see xtask/src/vm.rs.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
tests=/opt/tests
program=/usr/bin/compute-share
coordinator=/usr/bin/compute-share-coordinator
state=/var/lib/compute-share
# How many times longer emulated processors take, about; every wait that only catches a hang grows by it.
slowness=10
mkdir -p /srv/person
export HOME=/srv/person XDG_RUNTIME_DIR=/srv/person

trial() { # NAME COMMAND...
  local name=$1 begin=$SECONDS
  shift
  echo "vm: ---- $name"
  if "$@"; then echo "vm: PASS $name ($((SECONDS - begin)) s)"; else echo "vm: FAIL $name ($((SECONDS - begin)) s)"; fi
}

# Waits until COMMAND succeeds; the first argument is how many seconds at most on a machine that is not emulated.
within() {
  local end=$((SECONDS + $1 * slowness))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "not within the time: $*"
      return 1
    fi
    read -rt 0.2 <> <(:) || :
  done
}

# What measures time or a processor's share: done when nothing else is, as .config/nextest.toml has it elsewhere.
alone="politeness:: lifecycle::r7 limits::r4 limits::r10 freezing:: leaks::"

sandbox() { # LEVELS [SYSTEMD-RUN'S OPTIONS...]
  local levels=$1 skipped=() one failed=0
  shift
  for one in $alone; do skipped+=(--skip "$one"); done
  suite "$levels" "$@" $tests/sandbox --test-threads="$(nproc)" "${skipped[@]}" || failed=1
  suite "$levels" "$@" $tests/sandbox --test-threads=1 $alone || failed=1
  return $failed
}

suite() { # LEVELS SYSTEMD-RUN'S ARGUMENTS...
  local levels=$1
  shift
  systemd-run --quiet --wait --pipe --collect -p Delegate=yes -p TasksMax=infinity \
    --setenv=COMPUTE_SHARE_TEST_PROGRAM=$tests/compute-share --setenv=COMPUTE_SHARE_TEST_LEVELS="$levels" \
    --setenv=COMPUTE_SHARE_TEST_SLOWNESS=$slowness "$@"
}

as_agent() { runuser -u compute-share -- env HOME=$state "$@"; }

set_up() {
  systemd-sysusers $tests/compute-share.conf $tests/compute-share-coordinator.conf &&
    systemd-tmpfiles --create compute-share.conf compute-share-coordinator.conf &&
    systemctl daemon-reload || return 1
  local link
  link=$(runuser -u compute-share-coordinator -- $coordinator init --org lab --owner alice \
    --listen 127.0.0.1:7443 --data /var/lib/compute-share-coordinator -o json | jq -r .link) || return 1
  case $link in compute-share:*) ;; *) echo "no link: $link"; return 1 ;; esac
  systemctl start compute-share-coordinator && $program login "$link" || return 1
  local invitation
  invitation=$($program invite create -o json | jq -r '.. | .link? // empty' | head -n 1)
  as_agent $program join "$invitation" --handle machine-user || return 1
  as_agent $program register --name box --data $state && $program machine approve box || return 1
  systemctl start compute-share-agent && within 10 available
}

available() { [ "$($program machine show box -o json | jq -r .status)" = available ]; }

runs_a_job() {
  local said
  said=$($program run --no-workdir -- sh -c 'cat /proc/self/cgroup; echo done') || return 1
  echo "$said"
  grep -q done <<<"$said"
}

level_is_b() { $program machine show box | grep -i isolation; [ "$($program machine show box -o json | jq -r .report.isolation.level)" = b ]; }

# A job that begins, waits for the restart that is given, and ends well: with all of its log, in one attempt.
outlives() { # COMMAND...
  local job
  job=$($program submit -q --no-workdir -- sh -c 'echo begun; i=0; while [ $i -lt 100 ]; do i=$((i+1)); sleep 0.1; done; echo ended') || return 1
  within 10 has_begun "$job" || return 1
  "$@" || journalctl -u compute-share-agent -n 20 --no-pager
  within 10 systemctl is-active --quiet compute-share-agent || { journalctl -u compute-share-agent -n 20 --no-pager; return 1; }
  within 20 has_ended "$job" || { $program job show "$job"; return 1; }
  local log
  log=$($program logs "$job")
  echo "$log"
  [ "$log" = $'begun\nended' ] && [ "$($program job show "$job" -o json | jq '.attempts | length')" = 1 ]
}
has_begun() { $program logs "$1" | grep -q begun; }
has_ended() { [ "$(status "$1")" = succeeded ]; }

killed() { systemctl kill --kill-who=main -s KILL compute-share-agent; }

# Another file in the place of the running program, as a package's upgrade does it.
upgraded() {
  cp $program $program.new && echo >>$program.new && mv $program.new $program && systemctl restart compute-share-agent
}

# Everything of the agent goes; nothing of it may be left in the kernel, among the users or on the disk.
leaves_nothing() {
  local job
  job=$($program submit -q --no-workdir -- sleep 500) || return 1
  within 10 running "$job" || return 1
  systemctl stop compute-share-agent
  as_agent $program uninstall --data $state --yes || return 1
  $tests/postrm purge || return 1
  local left=0
  pgrep -fa 'compute-share (agent|supervise)' && left=1
  find /sys/fs/cgroup -name 'attempt-*' | grep . && left=1
  grep compute-share /proc/mounts && left=1
  losetup -a 2>/dev/null | grep compute-share && left=1
  [ -e $state ] && { find $state | head; left=1; }
  getent passwd compute-share && left=1
  return $left
}
running() { [ "$(status "$1")" = running ]; }
status() { $program job show "$1" -o json | jq -r .summary.status; }

uname -r
systemctl --version | head -n 1
stat -fc 'cgroups: %T' /sys/fs/cgroup
trial "sandbox as root" sandbox a
# As udev, which is not here, has it on people's machines: anybody may open it, for lazily mounted datasets.
[ -e /dev/fuse ] && chmod 666 /dev/fuse
trial "sandbox as an ordinary user with delegated cgroups" sandbox b --uid=nobody
trial "the service is set up as the README says" set_up
trial "a job runs" runs_a_job
trial "the service is at level B" level_is_b
trial "a job outlives the agent's restart" outlives systemctl restart compute-share-agent
trial "a job outlives kill -9 of the agent" outlives killed
trial "a job outlives the agent's upgrade" outlives upgraded
trial "uninstalling leaves nothing" leaves_nothing
echo "vm: DONE"
