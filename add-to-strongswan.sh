#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the extsock plugin known to the build of the strongSwan tree that has it as src/libcharon/plugins/extsock:
#
#     src/libcharon/plugins/extsock/add-to-strongswan.sh [TREE]
#
# Without TREE, the current directory is the tree. A second run changes nothing. A tree that is not known
# to work is refused before anything is changed.

set -eu

tree=${1:-.}
plugin=src/libcharon/plugins/extsock

fail() {
	echo "$0: $tree: $*" >&2
	exit 1
}

# Lines are put behind, or before, those of error-notify, a plugin that every supported version has.
add() { # FILE PLACE ANCHOR LINES
	file=$tree/$1
	test -f "$file" || fail "no $1; this is not a strongSwan source tree"
	if grep -qF "$(printf '%s\n' "$4" | head -n 1)" "$file"; then
		return
	fi
	test "$(grep -cF "$3" "$file")" = 1 || fail "$1 has not exactly one \`$3'; this version is not supported"
	$apply || return 0
	# Of the environment awk takes backslashes as they are.
	place=$2 anchor=$3 lines=$4 awk '
		BEGIN { place = ENVIRON["place"]; anchor = ENVIRON["anchor"]; lines = ENVIRON["lines"] }
		index($0, anchor) && place == "before" { print lines }
		{ print }
		index($0, anchor) && place == "after" { print lines }
	' "$file" >"$file.extsock"
	# Keeps owner and mode.
	cat "$file.extsock" >"$file"
	rm "$file.extsock"
}

add_all() {
	add configure.ac after 'ARG_ENABL_SET([error-notify],' \
		'ARG_ENABL_SET([extsock],        [enable plugin that fails over between security gateways (built with Rust).])'
	add configure.ac after 'ADD_PLUGIN([error-notify],' \
		'ADD_PLUGIN([extsock],              [c charon])'
	add configure.ac after 'AM_CONDITIONAL(USE_ERROR_NOTIFY,' \
		"m4_include($plugin/configure.m4)
AM_CONDITIONAL(USE_EXTSOCK, test x\$extsock = xtrue)"
	add configure.ac after 'src/libcharon/plugins/error_notify/Makefile' \
		"	$plugin/Makefile"
	add src/libcharon/Makefile.am before 'if USE_ERROR_NOTIFY' \
		'if USE_EXTSOCK
  SUBDIRS += plugins/extsock
endif
'
	add conf/Makefile.am after 'plugins/ext-auth.opt' \
		'	plugins/extsock.opt \'
}

test ! -h "$tree/$plugin" || fail "$plugin is a symbolic link, from which make does not find its way back to the tree"
test -f "$tree/$plugin/configure.m4" || fail "the plugin's source is not in $plugin"
apply=false
add_all
apply=true
add_all
# strongSwan makes extsock.conf and the manual page of it. Its rules know one directory only.
cmp -s "$tree/$plugin/extsock.opt" "$tree/conf/plugins/extsock.opt" ||
	cp "$tree/$plugin/extsock.opt" "$tree/conf/plugins/extsock.opt"
