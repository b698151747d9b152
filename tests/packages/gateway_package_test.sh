#!/usr/bin/env bash
# Installs, upgrades, removes and purges demorl-gateway in a fresh Debian 12: gateway_package_test.sh FILE.deb
# Needs root and this machine's own package sources; leaves nothing behind.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/fresh_system.sh"

package=$1
make_fresh_system "$package"
install_packages "$package"
inside id demorl | grep -q dialout || fail "user demorl is not in group dialout"
inside demorl-leg-gateway --version
inside demorl-stochlite-gateway --help | grep -q -- --config || fail "no help"
expect_idle demorl-leg-gateway demorl-stochlite-gateway
expect_rules_read 70-demorl.rules
expect_exposure_below 5 demorl-leg-gateway demorl-stochlite-gateway
# As installed it does not start: the run is not named.
! inside demorl-leg-gateway --config /etc/demorl/leg.textproto 2>"$folder/said" || fail "started without a run"
grep -q "run_id is not set" "$folder/said" || fail "said: $(cat "$folder/said")"

for document in README leg stochlite; do
  [[ -e $chroot/usr/share/doc/demorl-gateway/$document.md ]] || fail "$document.md is missing"
done
expect_upgrade "$package" /etc/demorl/leg.textproto

inside mkdir -p /var/lib/demorl/leg
inside systemctl enable demorl-leg-gateway
expect_no_removal_of_what_runs demorl-gateway demorl-leg-gateway
inside apt-get remove -y -q demorl-gateway
[[ -e $chroot/etc/demorl/leg.textproto && -d $chroot/var/lib/demorl/leg ]] || fail "remove took more than programs"
inside apt-get purge -y -q demorl-gateway
[[ ! -e $chroot/etc/demorl/leg.textproto && ! -e $chroot/var/lib/demorl ]] || fail "purge left something"
install_packages "$package"
expect_idle demorl-leg-gateway demorl-stochlite-gateway
echo "installed, upgraded, removed, purged and installed again $(basename "$package")"
