# shellcheck shell=bash
# What the scripts share: the packages, the builds, and a few words. Sourced, never run.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
builds=${SPAWND_BUILDS:-$repo/build} # every build folder lies in here
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# The Debian packages (12 and 13) by what needs them. `a|b` means: either will do; the first one
# that the release offers is installed. `extra` is used where it can be had, and its absence is a
# printed skip.
package_table() {
	cat <<-'TABLE'
		build gcc
		build g++
		build libc6-dev
		build cmake
		build ninja-build
		build pkg-config
		build libnng-dev
		build libprotobuf-c-dev
		build protobuf-c-compiler
		build protobuf-compiler
		build libyaml-dev
		build libsodium-dev
		build libjansson-dev
		build uthash-dev
		demo python3
		demo procps
		test python3
		test procps
		test binutils
		test libcriterion-dev
		test python3-pytest
		test python3-protobuf
		test clang-14|clang
		test libclang-rt-14-dev|libclang-rt-dev
		extra clang-format-14
		extra clang-tidy-14
		extra shellcheck
		extra strace
		extra e2fsprogs
		extra fuse3
		extra libfuse3-dev
		extra man-db
		extra groff-base
	TABLE
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

is_offered() {
	apt-cache show --no-all-versions "$1" >/dev/null 2>&1
}

# Prints the table's entries of the given groups that are not installed.
missing_entries() {
	local group entry name found
	while read -r group entry; do
		[[ " $* " == *" $group "* ]] || continue
		found=
		for name in ${entry//|/ }; do
			if is_installed "$name"; then found=1; fi
		done
		[ -n "$found" ] || say "$entry"
	done < <(package_table)
}

# Of each entry given, prints the first name that the release offers.
offered_names() {
	local entry name
	for entry in "$@"; do
		for name in ${entry//|/ }; do
			if is_offered "$name"; then
				say "$name"
				break
			fi
		done
	done
}

apt_install() {
	apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$apt_log" 2>&1
}

# need_packages GROUP…: returns with the groups' packages installed. Where root, installs what is
# missing; else prints the command and exits with 1. Packages of the group `extra` are tried only.
need_packages() {
	if ! have dpkg-query || ! have apt-get; then
		die "the packages are those of Debian 12 and 13; see package_table in scripts/lib.sh"
	fi
	local wanted extra=() names=() group groups=()
	for group in "$@"; do
		if [ "$group" != extra ]; then groups+=("$group"); fi
	done
	mapfile -t wanted < <(missing_entries "${groups[@]}" | sort -u)
	if [[ " $* " == *" extra "* ]]; then mapfile -t extra < <(missing_entries extra); fi
	[ $((${#wanted[@]} + ${#extra[@]})) -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		[ ${#wanted[@]} -gt 0 ] || return 0
		say "These packages are needed; please run:"
		say "  sudo apt-get install -y --no-install-recommends ${wanted[*]%%|*}"
		exit 1
	fi
	apt_log=$(mktemp)
	apt-get update -qq </dev/null >"$apt_log" 2>&1 || say "apt-get update failed; going on with the lists at hand"
	if [ ${#wanted[@]} -gt 0 ]; then
		mapfile -t names < <(offered_names "${wanted[@]}")
		say "installing: ${names[*]}"
		apt_install "${names[@]}" || {
			tail -n 20 "$apt_log" >&2
			die "apt-get could not install: ${wanted[*]}"
		}
	fi
	mapfile -t names < <(offered_names ${extra[@]+"${extra[@]}"})
	if [ ${#names[@]} -gt 0 ]; then
		say "installing, where possible: ${names[*]}"
		apt_install "${names[@]}" || say "not installed: ${names[*]}"
	fi
	rm -f "$apt_log"
}

# build_with DIR ARGUMENT…: configures DIR with these CMake arguments and builds all of it. The
# output is shown when it fails.
build_with() {
	local dir=$1 log
	shift
	local launcher=()
	if have ccache; then launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
	mkdir -p "$dir"
	log=$dir/build.log
	if cmake -S "$repo" -B "$dir" -G Ninja ${launcher[@]+"${launcher[@]}"} "$@" >"$log" 2>&1 </dev/null &&
		cmake --build "$dir" >>"$log" 2>&1 </dev/null; then
		return 0
	fi
	tail -n 60 "$log" >&2
	return 1
}

release_dir=$builds/release

# The build for use: spawnd, spawnd-broker, libspawnd, spawnctl, in $release_dir.
build_release() {
	build_with "$release_dir" -DCMAKE_BUILD_TYPE=RelWithDebInfo
}
