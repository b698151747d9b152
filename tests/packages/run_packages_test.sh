#!/usr/bin/env bash
# Installs, tries, upgrades, removes and purges demorl-cli and demorl-services, with demorl-common and demorl-gateway, in a
# fresh Debian 12: run_packages_test.sh FOLDER with the four packages
# Needs root and this machine's own package sources; leaves nothing behind.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fresh_system.sh"

packages=("$1"/demorl-*.deb)
services=(replay snapshot model-trainer mpc-rollout sac-learner actor)
units=("${services[@]/#/demorl-}")
make_fresh_system "${packages[@]}"

install_packages "${packages[@]}"
inside id demorl >/dev/null || fail "no user demorl"
expect_idle "${units[@]}"
expect_exposure_below 4 "${units[@]}"
for service in "${services[@]}"; do
  inside "demorl-$service" --version >/dev/null || fail "demorl-$service does not start"
  [[ -e $chroot/usr/share/man/man1/demorl-$service.1.gz ]] || fail "demorl-$service has no manual page"
done
# As installed there is no run.
! inside demorl-replay --config /etc/demorl/run 2>"$folder/said" || fail "started without a run"
grep -q "run_id is not set" "$folder/said" || fail "said: $(cat "$folder/said")"

# What the README of the services tells.
inside demorl check-config --env InvertedPendulum-v5 --algorithm sac >"$chroot/etc/demorl/run/10-run.textproto"
echo 'run_id: "first"' >"$chroot/etc/demorl/run/20-name.textproto"
inside install -d -o demorl /var/lib/demorl-replay
status=0
inside timeout --preserve-status 5 setpriv --reuid demorl --regid demorl --clear-groups \
  demorl-replay --config /etc/demorl/run 2>"$folder/said" || status=$?
((status == 0)) || fail "replay did not drain: $(cat "$folder/said")"
grep -q "listening on 127.0.0.1:50061" "$folder/said" || fail "said: $(cat "$folder/said")"
# The command line finds presets, models and MuJoCo: a run of a few steps.
inside demorl train --env InvertedPendulum-v5 --algorithm sac --steps 40 --set sac.learning_starts=20 --out /tmp/run \
  >"$folder/said" 2>&1 || fail "train: $(tail -n 5 "$folder/said")"

echo '# the laboratory' >>"$chroot/etc/demorl/run/70-services.textproto"
inside dpkg -i "${packages[@]/#*\//\/}"
grep -q laboratory "$chroot/etc/demorl/run/70-services.textproto" || fail "an upgrade lost what the laboratory had written"

inside systemctl enable demorl-replay
expect_no_removal_of_what_runs demorl-services demorl-replay
inside apt-get remove -y -q demorl-cli demorl-services demorl-common demorl-gateway
[[ -e $chroot/etc/demorl/run/70-services.textproto && -d $chroot/var/lib/demorl-replay ]] ||
  fail "remove took more than programs"
inside apt-get purge -y -q demorl-services demorl-gateway # those that have something left
[[ ! -e $chroot/etc/demorl/run/70-services.textproto && ! -e $chroot/var/lib/demorl-replay ]] || fail "purge left something"
[[ ! -L $chroot/etc/systemd/system/multi-user.target.wants/demorl-replay.service ]] || fail "purge left demorl-replay enabled"
[[ -e $chroot/etc/demorl/run/10-run.textproto ]] || fail "purge took what was not the packages'"
! compgen -G "$chroot/usr/*/demorl*" >/dev/null || fail "left: $(echo "$chroot"/usr/*/demorl*)"
echo "installed, upgraded, removed and purged ${packages[*]##*/}"
