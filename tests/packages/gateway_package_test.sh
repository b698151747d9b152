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
expect_exposure_below 5 demorl-leg-gateway demorl-stochlite-gateway
# As installed it does not start: the run is not named.
! inside demorl-leg-gateway --config /etc/demorl/leg.textproto 2>"$folder/said" || fail "started without a run"
grep -q "run_id is not set" "$folder/said" || fail "said: $(cat "$folder/said")"

echo '# the laboratory' >>"$chroot/etc/demorl/leg.textproto"
inside dpkg -i "/$(basename "$package")"
grep -q laboratory "$chroot/etc/demorl/leg.textproto" || fail "an upgrade lost what the laboratory had written"

inside mkdir -p /var/lib/demorl/leg
inside apt-get remove -y -q demorl-gateway
[[ -e $chroot/etc/demorl/leg.textproto && -d $chroot/var/lib/demorl/leg ]] || fail "remove took more than programs"
inside apt-get purge -y -q demorl-gateway
[[ ! -e $chroot/etc/demorl/leg.textproto && ! -e $chroot/var/lib/demorl ]] || fail "purge left something"
echo "installed, upgraded, removed and purged $(basename "$package")"
