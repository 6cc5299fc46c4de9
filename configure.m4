dnl SPDX-License-Identifier: GPL-2.0-or-later
dnl
dnl What the extsock plugin needs of the machine; configure.ac of the strongSwan tree includes it.

AC_ARG_VAR([CARGO], [Rust's cargo, which builds the extsock plugin])
AC_ARG_VAR([CARGO_BUILD_TARGET],
	[Rust's name of the machine that the extsock plugin is built for, if that is not this one])

if test x$extsock = xtrue; then
	if test x$monolithic = xtrue -o x$enable_shared = xno; then
		AC_MSG_ERROR([the extsock plugin is a library that charon loads; it cannot be part of a monolithic or static build])
	fi
	AC_PATH_PROG([CARGO], [cargo])
	if test -z "$CARGO"; then
		AC_MSG_ERROR([the extsock plugin is built with Rust, but cargo was not found; install Rust 1.85 or newer, or set CARGO])
	fi
	AC_MSG_CHECKING([for Rust 1.85 or newer])
	extsock_rust=`$CARGO --version 2>/dev/null | $SED -n 's/^cargo \([[0-9.]]*\).*/\1/p'`
	extsock_minor=`echo "$extsock_rust" | $SED -n 's/^1\.\([[0-9]]*\).*/\1/p'`
	if test -z "$extsock_minor" || test "$extsock_minor" -lt 85; then
		AC_MSG_RESULT([no])
		AC_MSG_ERROR([the extsock plugin needs Rust 1.85 or newer, but $CARGO is of ${extsock_rust:-an unknown version}])
	fi
	AC_MSG_RESULT([$extsock_rust])
	if test x$cross_compiling = xyes -a -z "$CARGO_BUILD_TARGET"; then
		AC_MSG_ERROR([to build the extsock plugin for $host, set CARGO_BUILD_TARGET to Rust's name of that])
	fi
	if test "$PYTHON" = ":"; then
		AC_MSG_ERROR([extsock.conf is made of extsock.opt by a Python script, but Python was not found])
	fi
fi
