#!/usr/bin/env bash
# Installs, upgrades, removes and purges demorl-gateway in a fresh Debian 12: gateway_package_test.sh FILE.deb
# Needs root and this machine's own package sources; leaves nothing behind.
set -euo pipefail

package=$1
folder=$(mktemp -d)
chroot=$folder/root
trap 'umount -l "$chroot/proc" 2>/dev/null || true; rm -rf "$folder"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
inside() { chroot "$chroot" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
install_package() { inside apt-get install -y -q --no-install-recommends "/$(basename "$package")"; }

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
debootstrap --variant=minbase bookworm "$chroot" "$mirror" >"$folder/log" || fail "debootstrap: $(tail -n 3 "$folder/log")"
cp -r /etc/apt/apt.conf.d/. "$chroot/etc/apt/apt.conf.d/"
mount -t proc proc "$chroot/proc"
cp "$package" "$chroot/"

install_package
inside id demorl | grep -q dialout || fail "user demorl is not in group dialout"
inside demorl-leg-gateway --version
inside demorl-stochlite-gateway --help | grep -q -- --config || fail "no help"
for unit in demorl-leg-gateway demorl-stochlite-gateway; do
  inside systemd-analyze verify "$unit.service"
  [[ ! -e $chroot/etc/systemd/system/multi-user.target.wants/$unit.service ]] || fail "$unit was enabled"
done
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
